"""How well a model's ECG comes back at each of its rates, and how well its codes are used."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import Batch, batches, every_lead, full_precision, split_rows
from ecgvae.models import Autoencoder

MICROVOLTS = 1000   # in a millivolt
MEASURES = {
    "prdn": metrics.prdn,
    "rmse_uv": lambda x, y: metrics.rmse(x, y) * MICROVOLTS,
    "snr_db": metrics.snr,
    "correlation": metrics.correlation,
}


class Comparison:
    """Errors of every lead of the records seen so far, and the sums of their power spectra."""

    def __init__(self, rate: float):
        self.rate = rate
        self.errors: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}
        self.spectra = 0

    def add(self, true: np.ndarray, made: np.ndarray) -> None:
        """Compare the leads (l, t) of a record."""
        for name, measure in MEASURES.items():
            self.errors[name].append(measure(true, made))
        self.spectra = self.spectra + metrics.power_spectrum(np.stack([true, made]), self.rate)

    def report(self) -> dict:
        errors = {name: metrics.summary(np.concatenate(values)) for name, values in self.errors.items()}
        return {**errors, "spectrum_db": metrics.decibels_between(*self.spectra, self.rate)}


def evaluate(model: str | Path, store: Store, split: str = "test", device: str = "auto", batch_size: int = 64,
             progress: Callable[[int, int], None] | None = None) -> dict:
    """A report on a split of a store: facts, and under "rows" one dict for each rate the model can code at.

    PRDN (%, mean removed), RMSE (uV), SNR (dB) and correlation are taken per lead and record over all leads of
    the model, with their mean, median and 95th percentile; `spectrum_db` is `metrics.spectrum_distance` in 15 to
    45 Hz. A tokenizer has a row for each number of codebooks, where `entropy_bits_per_second` prices every code
    by the split's own frequencies; `usage` and `perplexity` are per stream. A continuous model has one row, and
    `latent_per_second` numbers.
    """
    module, rows = checkpoint.load(model, device), split_rows(store, split)
    comparisons = [Comparison(store.rate) for _ in range(max(1, len(module.codebook_specs)))]
    codes: list[Sequence[Tensor]] = []
    done = 0
    for batch in batches(module, store, rows, batch_size):
        codes.append(compare(module, batch, comparisons))
        done += len(batch.rows)
        if progress:
            progress(done, len(rows))
    streams = module.codebook_specs
    usage = [stream_usage(parts, streams[index].size) for index, parts in enumerate(zip(*codes, strict=True))]
    prices = [price(streams, count, module.signal.rate, usage) for count in range(1, len(streams) + 1)]
    table = [{**paid, **comparison.report()}
             for paid, comparison in zip(prices or [latent(module)], comparisons, strict=True)]
    return {"model": checkpoint.locate(model).resolve().name, "identity": checkpoint.identity(module),
            "store": str(store.path), "split": split, "fingerprint": store.fingerprint, "records": len(rows),
            "rows": table, "codebooks": usage}


def compare(model: Autoencoder, batch: Batch, comparisons: Sequence[Comparison]) -> tuple[Tensor, ...]:
    """Add a batch at every rate, and give its codes (b, n) of every stream."""
    true = [record.select(model.signal.leads).signal for record in batch.records]
    with full_precision():
        for comparison, made in zip(comparisons, model.reconstructions(batch.x), strict=True):
            for leads, coded, record in zip(true, made, batch.records, strict=True):
                comparison.add(leads, every_lead(model, coded, record))
        return tuple(codes.cpu() for codes in model.tokenize(batch.x)) if model.codebook_specs else ()


def stream_usage(parts: Iterable[Tensor], size: int) -> dict[str, float]:
    """How evenly all records together use the codes of a stream."""
    codes = torch.cat([codes.flatten() for codes in parts]).numpy()
    return {"usage": metrics.code_usage(codes, size), "entropy": metrics.entropy(codes, size),
            "perplexity": metrics.perplexity(codes, size)}


def price(streams: Sequence[CodebookSpec], count: int, rate: float, usage: Sequence[dict[str, float]]) -> dict[str, float]:
    """What the first so many streams take, and how much of its book the least used of them uses."""
    used, streams = usage[:count], streams[:count]
    return {"codebooks": count, "bits_per_second": metrics.bits_per_second(streams, rate),
            "entropy_bits_per_second": metrics.bits_per_second(streams, rate, [use["entropy"] for use in used]),
            "usage": min(use["usage"] for use in used)}


def latent(model: Autoencoder) -> dict[str, float]:
    """What a continuous latent takes: numbers a second."""
    return {"latent_per_second": model.settings.latent * model.signal.rate / model.hop}
