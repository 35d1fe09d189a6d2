"""Reconstruction errors of a model at each of its bit rates, and the usage of its codebooks."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.store import MICROVOLTS_PER_MV, Store
from ecgvae.evaluation.batches import RecordBatch, batches, full_precision, split_rows, to_all_leads
from ecgvae.models import Autoencoder, QuantizedAutoencoder

ERRORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "prdn": metrics.prdn,
    "rmse_uv": lambda x, y: metrics.rmse(x, y) * MICROVOLTS_PER_MV,
    "snr_db": metrics.snr,
    "correlation": metrics.correlation,
}


class Comparison:
    """Collects errors of every lead of records, and sums of power spectra."""

    def __init__(self, rate: float):
        self.rate = rate
        self.errors: dict[str, list[np.ndarray]] = {name: [] for name in ERRORS}
        self.spectra = np.zeros(())

    def add(self, target: np.ndarray, reconstruction: np.ndarray) -> None:
        """Adds the leads (leads, t) of a record and of its reconstruction, in mV."""
        for name, measure in ERRORS.items():
            self.errors[name].append(measure(target, reconstruction))
        self.spectra = self.spectra + metrics.power_spectrum(np.stack([target, reconstruction]), self.rate)

    def report(self) -> dict:
        """Summaries of all errors, and the distance of the mean power spectra in dB."""
        errors = {name: metrics.summary(np.concatenate(values)) for name, values in self.errors.items()}
        target, reconstruction = self.spectra
        return {**errors, "spectrum_db": metrics.power_distance(target, reconstruction, self.rate)}


def evaluate(model: str | Path, store: Store, split: str = "test", device: str = "auto", batch_size: int = 64,
             progress: Callable[[int, int], None] | None = None) -> dict:
    """Measures a model on a split of a store.

    Args:
        model: A shipped name or a folder.
        store: The records.
        split: The split to use.
        device: Device of the model.
        batch_size: Largest number of records in a batch.
        progress: Called with the number of records done and their total.

    Returns:
        Facts (`model`, `identity`, `store`, `split`, `fingerprint`, `records`) and two lists.

        `rows` has a dict for each bit rate. `prdn` (%, mean removed), `rmse_uv`, `snr_db` and `correlation` are
        computed for each lead of each record, and summarized as mean, median and 95th percentile; `spectrum_db` is
        `metrics.spectrum_distance` from 15 to 45 Hz. A tokenizer has a row for each number of codebooks, with that
        number (`codebooks`), `bits_per_second`, `entropy_bits_per_second` (with an ideal code for the frequencies of
        codes in the split), and the `usage` of the least used of these codebooks. A model with a continuous latent
        has one row, with `latent_per_second`: latent values per second.

        `codebooks` has a dict for each codebook, from codebook 0: `usage` (the share of its codes that occur),
        `entropy` in bits per code, and `perplexity`. It is empty for a continuous latent.

    Raises:
        ValueError: The split has no records, or they do not fit the model.
    """
    network, rows = checkpoint.load(model, device), split_rows(store, split)
    specs = network.codebook_specs
    comparisons = [Comparison(store.rate) for _ in range(max(1, len(specs)))]
    codes: list[Sequence[Tensor]] = []
    done = 0
    for batch in batches(network, store, rows, batch_size):
        codes.append(compare(network, batch, comparisons))
        done += len(batch.rows)
        if progress:
            progress(done, len(rows))
    usage = [codebook_usage(batch_codes, spec.size)
             for spec, batch_codes in zip(specs, zip(*codes, strict=True), strict=True)]
    rates = [bit_rates(specs[:count], usage[:count], network.signal.rate) for count in range(1, len(specs) + 1)]
    table = [{**rate, **comparison.report()}
             for rate, comparison in zip(rates or [latent_rate(network)], comparisons, strict=True)]
    return {"model": checkpoint.model_name(model), "identity": checkpoint.identity(model),
            "store": str(store.path), "split": split, "fingerprint": store.fingerprint, "records": len(rows),
            "rows": table, "codebooks": usage}


def compare(model: Autoencoder, batch: RecordBatch, comparisons: Sequence[Comparison]) -> tuple[Tensor, ...]:
    """Adds a batch to the comparison at every bit rate. Returns the codes (b, n) of each codebook."""
    targets = [record.select(model.signal.leads).signal for record in batch.records]
    with full_precision():
        for comparison, reconstruction in zip(comparisons, model.reconstructions(batch.x), strict=True):
            for target, coded, record in zip(targets, reconstruction, batch.records, strict=True):
                comparison.add(target, to_all_leads(model, coded, record))
        codes = model.tokenize(batch.x) if isinstance(model, QuantizedAutoencoder) else ()
    return tuple(values.cpu() for values in codes)


def codebook_usage(batch_codes: Iterable[Tensor], size: int) -> dict[str, float]:
    """Usage, entropy (bits) and perplexity of a codebook over all records together."""
    codes = torch.cat([codes.flatten() for codes in batch_codes]).numpy()
    return {"usage": metrics.code_usage(codes, size), "entropy": metrics.entropy(codes, size),
            "perplexity": metrics.perplexity(codes, size)}


def bit_rates(specs: Sequence[CodebookSpec], usage: Sequence[dict[str, float]], rate: float) -> dict[str, float]:
    """Bit rates of codebooks at a sampling rate in Hz, and the usage of the least used of them."""
    entropies = [codebook["entropy"] for codebook in usage]
    return {"codebooks": len(specs), "bits_per_second": metrics.bits_per_second(specs, rate),
            "entropy_bits_per_second": metrics.bits_per_second(specs, rate, entropies),
            "usage": min(codebook["usage"] for codebook in usage)}


def latent_rate(model: Autoencoder) -> dict[str, float]:
    """Values of a continuous latent per second."""
    return {"latent_per_second": model.settings.latent * model.signal.rate / model.hop}
