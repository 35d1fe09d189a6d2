"""How close samples of a model's prior are to real ECG."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import Batch, batches, full_precision, split_rows
from ecgvae.evaluation.probe import pool
from ecgvae.models import CVAE, VAE, Autoencoder
from ecgvae.models.cvae import Conditioning

JUDGE = "ptbxl-vqvae-conv"      # whose encoder's features are compared


class Crowd:
    """What is kept of many signals: pooled features, mean power spectrum, and range of every lead."""

    def __init__(self, model: Autoencoder, judge: Autoencoder):
        self.model, self.judge = model, judge
        self.features, self.ranges = [], []
        self.power = 0

    def add(self, x: Tensor) -> None:
        """Signals of coded leads, (b, c, t) in mV."""
        leads = self.model.all_leads(x).cpu().numpy()
        self.features.append(pool(self.judge, x))
        self.ranges.append(np.ptp(leads, axis=-1).ravel())
        self.power = self.power + metrics.power_spectrum(leads, self.model.signal.rate).sum(0)

    @property
    def rows(self) -> np.ndarray:
        return np.concatenate(self.features)


def sample_quality(model: Autoencoder, store: Store, split: str = "test", judge: str | Path = JUDGE,
                   seed: int = 0) -> dict:
    """How samples compare with the real records of a split, as many and as long as these.

    `frechet` is the Fréchet distance between them, of the mean and standard deviation over frames of another
    encoder's features, standardised; `frechet_ratio` divides it by that between as many training records and the
    split, so that 1 is as close as more real records are. `spectrum_db` is `metrics.spectrum_distance` in 15 to
    45 Hz over all leads, and `range_mv` the largest less the smallest value of each lead. A conditional model is
    told what the store knows of the real records, and their leads where it is given leads.
    """
    sample, encoder = sampler(model, store, seed), checkpoint.load(judge, str(model.expansion.device))
    if (encoder.signal.coded, encoder.signal.rate) != (model.signal.coded, model.signal.rate):
        raise ValueError(f"{judge} takes {', '.join(encoder.signal.coded)} at {encoder.signal.rate:g} Hz; the model "
                         f"has {', '.join(model.signal.coded)} at {model.signal.rate:g} Hz")
    rows, train = split_rows(store, split), split_rows(store, "train")
    others = np.random.default_rng(seed).permutation(train)[:len(rows)]
    real, more, made = (Crowd(model, encoder) for _ in range(3))
    with full_precision():
        for batch in batches(model, store, rows):
            real.add(batch.x)
            made.add(sample(batch))
        for batch in batches(model, store, others):
            more.add(batch.x)
    centre, spread = more.rows.mean(0), more.rows.std(0).clip(min=1e-9)
    distance, usual = (metrics.frechet((real.rows - centre) / spread, (crowd.rows - centre) / spread)
                       for crowd in (made, more))
    return {"records": len(rows), "frechet": distance, "frechet_ratio": distance / usual,
            "spectrum_db": metrics.decibels_between(real.power, made.power, model.signal.rate),
            "range_mv": {name: metrics.summary(np.concatenate(crowd.ranges))
                         for name, crowd in (("real", real), ("samples", made))}}


def sampler(model: Autoencoder, store: Store, seed: int) -> Callable[[Batch], Tensor]:
    """Draws as many signals as a batch has, of the same length, under what is known of its records."""
    if not isinstance(model, VAE):
        raise ValueError(f"a model of family {model.settings.family} has no prior to sample; wanted a vae or cvae")
    generator = torch.Generator(model.expansion.device).manual_seed(seed)
    if not isinstance(model, CVAE):
        return lambda batch: model.sample(*batch.x.shape[::2], generator)
    vectors = condition_vectors(store, model.condition).to(model.expansion.device)

    def sample(batch: Batch) -> Tensor:
        known = Conditioning(vectors[batch.rows] if model.condition.widths else None, model.given_leads(batch.x))
        return model.sample(*batch.x.shape[::2], generator, known)
    return sample
