"""The tour: simulated records to tokens and back, with a table and a picture of what was lost."""

from pathlib import Path

import numpy as np

from ecgvae import metrics
from ecgvae.batch import check_free, detokenize_files, tokenize_files
from ecgvae.data.tokens import open_tokens
from ecgvae.plotting import plot_comparison
from ecgvae.signal import read_record
from ecgvae.synthetic import write_demo_records
from ecgvae.tokenizer import Tokenizer


def run_demo(out: str | Path, model: str | Path, device: str = "auto", overwrite: bool = False) -> list[dict]:
    """Fill the folder `out`, and return a row for each record and one for all of them."""
    out = Path(out)
    check_free(out, overwrite)
    tokenizer = Tokenizer.load(model, device)
    write_demo_records(out / "records", overwrite=overwrite)
    tokenize_files([out / "records"], out / "tokens.parquet", tokenizer, overwrite=overwrite)
    detokenize_files(out / "tokens.parquet", out / "decoded", model, device=device, overwrite=overwrite)
    file, pairs, rows = open_tokens(out / "tokens.parquet"), [], []
    for tokens in file:
        original, decoded = (read_record(out / folder / tokens.name) for folder in ("records", "decoded"))
        pairs.append((original, decoded))
        rows.append({"record": tokens.name,
                     "prdn": float(np.nanmean(metrics.prdn(original.signal, decoded.signal))),
                     "rmse_uv": float(1000 * metrics.rmse(original.signal, decoded.signal).mean()),
                     "bits_per_second": metrics.bits_per_second(file.header.codebooks, file.header.rate),
                     "codes_used": used(file.header.codebooks, [tokens])})
    plot_comparison(pairs, out / "comparison.png", overwrite)
    whole = {"record": "all", "codes_used": used(file.header.codebooks, file)}
    return [*rows, whole | {key: float(np.mean([row[key] for row in rows]))
                            for key in ("prdn", "rmse_uv", "bits_per_second")}]


def used(streams, tokens) -> float:
    """Share of all codes that occur, over the streams."""
    tokens = list(tokens)
    shares = [metrics.code_usage(np.concatenate([item.codes[index] for item in tokens]), stream.size)
              for index, stream in enumerate(streams)]
    return float(np.mean(shares))
