"""A demonstration: turns simulated records into tokens and back, measures and draws the errors, and generates records.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgvae import checkpoint, metrics
from ecgvae.batch import detokenize_files, sample_files, tokenize_files
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.tokens import Tokens, open_tokens
from ecgvae.files import check_free
from ecgvae.generation import Condition, Prior, SampleRequest
from ecgvae.plotting import plot_comparison
from ecgvae.signal import read_record
from ecgvae.synthetic import write_demo_records
from ecgvae.tokenizer import Tokenizer

MAX_GENERATED = 8


def run_demo(out: str | Path, model: str | Path, device: str = "auto", overwrite: bool = False) -> list[dict[str, Any]]:
    """Writes records/, tokens.parquet, decoded/ and comparison.png to a folder; and generated/ if a prior is shipped.

    Args:
        out: The folder.
        model: The tokenizer: a shipped name or a folder.
        device: Its device.
        overwrite: Whether the folder may exist.

    Returns:
        A row of errors for each record, and at the end one with their means.
    """
    out = Path(out)
    check_free(out, overwrite)
    tokenizer = Tokenizer.load(model, device)
    write_demo_records(out / "records", overwrite=overwrite)
    tokenize_files([out / "records"], out / "tokens.parquet", tokenizer, overwrite=overwrite)
    detokenize_files(out / "tokens.parquet", out / "decoded", model, device=device, overwrite=overwrite)
    file = open_tokens(out / "tokens.parquet")
    codebooks = file.header.codebooks
    pairs, rows = [], []
    for tokens in file:
        original, decoded = (read_record(out / folder / tokens.name) for folder in ("records", "decoded"))
        pairs.append((original, decoded))
        rows.append({"record": tokens.name,
                     "prdn": float(np.nanmean(metrics.prdn(original.signal, decoded.signal))),
                     "rmse_uv": float(1000 * metrics.rmse(original.signal, decoded.signal).mean()),
                     "bits_per_second": metrics.bits_per_second(codebooks, file.header.rate),
                     "codes_used": mean_code_usage(codebooks, [tokens])})
    plot_comparison(pairs, out / "comparison.png", overwrite)
    if checkpoint.pretrained_priors():
        generate(out / "generated", device, overwrite)
    means = {key: float(np.mean([row[key] for row in rows])) for key in ("prdn", "rmse_uv", "bits_per_second")}
    return [*rows, {"record": "all", "codes_used": mean_code_usage(codebooks, file)} | means]


def generate(out: Path, device: str, overwrite: bool) -> None:
    """Writes a record of each of the first kinds of ECG that the default prior knows, or one of no kind."""
    prior = Prior.load(device=device)
    labels = prior.condition.labels[:MAX_GENERATED] if prior.condition else ()
    conditions = tuple(Condition((label,)) for label in labels) or (Condition(),)
    sample_files(prior, SampleRequest(conditions), out, overwrite=overwrite)


def mean_code_usage(codebooks: Sequence[CodebookSpec], tokens: Iterable[Tokens]) -> float:
    """The share of codes that occur in the tokens, averaged over codebooks."""
    tokens = list(tokens)
    shares = [metrics.code_usage(np.concatenate([item.codes[index] for item in tokens]), codebook.size)
              for index, codebook in enumerate(codebooks)]
    return float(np.mean(shares))
