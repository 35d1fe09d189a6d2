"""How well a tokenizer's ECG comes back, at every number of codebooks, and how well its codes are used."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgvae import metrics
from ecgvae.data.store import Store
from ecgvae.data.tokens import Tokens
from ecgvae.signal import Record
from ecgvae.tokenizer import Tokenizer

MICROVOLTS = 1000   # in a millivolt


def evaluate(model: str | Path, store: Store, split: str = "test", device: str = "auto", batch_size: int = 64,
             progress: Callable[[int, int], None] | None = None) -> dict:
    """A report on a split of a store: facts, and under "rows" one dict for each number of codebooks.

    PRDN (%, mean removed), RMSE (uV), SNR (dB) and correlation are taken per lead and record over all leads of
    the model, with their mean, median and 95th percentile. `entropy_bits_per_second` prices every code by the
    split's own frequencies. `usage` and `perplexity` are per stream.
    """
    tokenizer = Tokenizer.load(model, device)
    rows = store.split(split)
    if len(rows) == 0:
        raise ValueError(f"{store.path} has no records in its {split} split")
    header, tokens, errors = tokenizer.header(), [], []
    for start in range(0, len(rows), batch_size):
        records = [store.record(row) for row in rows[start:start + batch_size]]
        batch = tokenizer.encode_many(records, batch_size=batch_size)
        errors += [list(by_codebooks(tokenizer, *pair)) for pair in zip(records, batch, strict=True)]
        tokens += batch
        if progress:
            progress(min(start + batch_size, len(rows)), len(rows))
    usage = [stream_usage(tokens, index, stream.size) for index, stream in enumerate(header.streams)]
    table = [
        {"codebooks": count, **rates(header.streams[:count], header.rate, usage),
         **{name: metrics.summary(np.concatenate([record[count - 1][name] for record in errors]))
            for name in ("prdn", "rmse_uv", "snr_db", "correlation")},
         "usage": min(use["usage"] for use in usage[:count])}
        for count in range(1, len(header.streams) + 1)
    ]
    return {"model": tokenizer.name, "identity": tokenizer.identity, "store": str(store.path), "split": split,
            "fingerprint": store.fingerprint, "records": len(rows), "rows": table, "streams": usage}


def by_codebooks(tokenizer: Tokenizer, record: Record, tokens: Tokens) -> Iterator[dict[str, np.ndarray]]:
    """Errors of every lead with the first, the first two, ... of the codebooks."""
    true = record.select(tokenizer.model.signal.leads).signal
    for count in range(1, len(tokens.codes) + 1):
        made = tokenizer.decode(replace(tokens, codes=tokens.codes[:count])).signal
        yield {"prdn": metrics.prdn(true, made), "rmse_uv": metrics.rmse(true, made) * MICROVOLTS,
               "snr_db": metrics.snr(true, made), "correlation": metrics.correlation(true, made)}


def stream_usage(tokens: list[Tokens], index: int, size: int) -> dict[str, float]:
    """How evenly all records together use the codes of a stream."""
    codes = np.concatenate([item.codes[index] for item in tokens])
    return {"usage": metrics.code_usage(codes, size), "entropy": metrics.entropy(codes, size),
            "perplexity": metrics.perplexity(codes, size)}


def rates(streams: tuple, rate: float, usage: list[dict[str, float]]) -> dict[str, float]:
    entropies = [use["entropy"] for use in usage[:len(streams)]]
    return {"bits_per_second": metrics.bits_per_second(streams, rate),
            "entropy_bits_per_second": metrics.bits_per_second(streams, rate, entropies)}
