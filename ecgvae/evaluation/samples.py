"""The distance between samples of a model's prior and real ECG."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import RecordBatch, batches, full_precision, split_rows
from ecgvae.evaluation.probe import pool
from ecgvae.models import CVAE, VAE, Autoencoder, Conditioning

DEFAULT_ENCODER = "ptbxl-vqvae-conv"


class SampleStatistics:
    """Statistics of a set of signals: pooled features, mean power spectrum, and the range of every lead."""

    def __init__(self, model: Autoencoder, encoder: Autoencoder):
        self.model, self.encoder = model, encoder
        self._features: list[np.ndarray] = []
        self._ranges: list[np.ndarray] = []
        self.power = np.zeros(())

    def add(self, x: Tensor) -> None:
        """Adds signals: coded leads (b, c, t) in mV."""
        leads = self.model.all_leads(x).cpu().numpy()
        self._features.append(pool(self.encoder, x))
        self._ranges.append(np.ptp(leads, axis=-1).ravel())
        self.power = self.power + metrics.power_spectrum(leads, self.model.signal.rate).sum(0)

    @property
    def features(self) -> np.ndarray:
        """Pooled features (n, 2 d), see `ecgvae.evaluation.probe.pool`."""
        return np.concatenate(self._features)

    @property
    def ranges(self) -> np.ndarray:
        """Largest minus smallest value in mV of every lead of every signal."""
        return np.concatenate(self._ranges)


def sample_quality(model: Autoencoder, store: Store, split: str = "validation", encoder: str | Path = DEFAULT_ENCODER,
                   seed: int = 0) -> dict:
    """Compares samples of a model's prior with the real records of a split, in equal number and of equal lengths.

    A conditional model gets the conditions of the real records, and their given leads if it has such a condition. A
    record of more than about three minutes counts as several, which overlap a little.

    Args:
        model: A vae or cvae.
        store: The real records, with a training split.
        split: The split to compare with.
        encoder: The model whose features are compared: a shipped name or a folder.
        seed: Seed of the samples.

    Returns:
        `records`: their number. `frechet`: the Fréchet distance of features (mean and standard deviation over frames,
        standardized). `frechet_ratio`: that distance divided by the distance of the same number of training records;
        samples with a ratio of 1 are as close as real records. `spectrum_db`: `metrics.spectrum_distance` from 15 to
        45 Hz over all leads. `range_mv`: summaries of the leads' ranges, of the real records and of the samples.

    Raises:
        ValueError: The model has no prior, or the encoder has other leads or another rate.
    """
    sample, network = sampler(model, store, seed), checkpoint.load(encoder, str(model.expansion.device))
    if (network.signal.coded, network.signal.rate) != (model.signal.coded, model.signal.rate):
        raise ValueError(f"{encoder} takes {', '.join(network.signal.coded)} at {network.signal.rate:g} Hz; the model "
                         f"has {', '.join(model.signal.coded)} at {model.signal.rate:g} Hz")
    rows, train_rows = split_rows(store, split), split_rows(store, "train")
    reference_rows = np.random.default_rng(seed).permutation(train_rows)[:len(rows)]
    real, reference, samples = (SampleStatistics(model, network) for _ in range(3))
    with full_precision():
        for batch in batches(model, store, rows):
            real.add(batch.x)
            samples.add(sample(batch))
        for batch in batches(model, store, reference_rows):
            reference.add(batch.x)
    mean, deviation = reference.features.mean(0), reference.features.std(0).clip(min=1e-9)
    distance, reference_distance = (
        metrics.frechet((real.features - mean) / deviation, (statistics.features - mean) / deviation)
        for statistics in (samples, reference))
    return {"records": len(rows), "frechet": distance, "frechet_ratio": distance / reference_distance,
            "spectrum_db": metrics.power_distance(real.power, samples.power, model.signal.rate),
            "range_mv": {name: metrics.summary(statistics.ranges)
                         for name, statistics in (("real", real), ("samples", samples))}}


def sampler(model: Autoencoder, store: Store, seed: int) -> Callable[[RecordBatch], Tensor]:
    """A function that draws one signal for each record of a batch, of the same length and under the same condition."""
    if not isinstance(model, VAE):
        raise ValueError(f"a model of family {model.settings.family} has no prior to sample; wanted a vae or cvae")
    generator = torch.Generator(model.expansion.device).manual_seed(seed)
    if not isinstance(model, CVAE):
        return lambda batch: model.sample(len(batch.x), batch.x.shape[-1], generator)
    vectors = condition_vectors(store, model.condition).to(model.expansion.device)

    def sample(batch: RecordBatch) -> Tensor:
        vector = vectors[batch.rows] if model.condition.part_widths else None
        condition = Conditioning(vector, model.given_leads(batch.x))
        return model.sample(len(batch.x), batch.x.shape[-1], generator, condition)
    return sample
