"""How much noise a model takes out of an ECG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import metrics
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import batches, reconstruct, split_rows
from ecgvae.models import Autoencoder
from ecgvae.noise import Corruption, Recordings, corruptions

KINDS = ("wander", "muscle", "electrode", "mains-50")
LEVELS = (20, 10, 5, 0)     # dB


def held_out_noises(rate: float, recordings: str | Path | None = None, device: str = "cpu") -> dict[str, Corruption]:
    """The noises to test with: the second halves of recordings, which no training hears, and synthetic ones."""
    recorded = None if recordings is None else Recordings(recordings, rate, "second", device)
    return corruptions(KINDS, rate, recorded)


def denoising(model: Autoencoder, store: Store, split: str, noises: Mapping[str, Corruption],
              levels: Sequence[float] = LEVELS, seed: int = 0) -> list[dict]:
    """PRDN (%) from the clean signal, of what a model makes of noisy signals: a row for each noise and SNR (dB).

    Beside it is that of the noisy signals, `noisy_prdn`. Noise is added to the coded leads, PRDN is taken over
    all leads of the model, both at its rate. At every SNR, and for all models with those leads and that rate, it
    is the same noise.
    """
    device, cases = model.expansion.device, [(name, level) for name in noises for level in levels]
    generators = {case: torch.Generator(device).manual_seed(seed) for case in cases}
    before, after = ({case: [] for case in cases} for _ in range(2))
    for batch in batches(model, store, split_rows(store, split)):
        for name, level in cases:
            noisy = noises[name](batch.x, level, generators[name, level])
            before[name, level].append(prdn(model, batch.x, noisy))
            after[name, level].append(prdn(model, batch.x, reconstruct(model, noisy)))
    return [{"noise": name, "snr_db": level, "prdn": metrics.summary(np.concatenate(after[name, level])),
             "noisy_prdn": metrics.summary(np.concatenate(before[name, level]))} for name, level in cases]


def prdn(model: Autoencoder, x: Tensor, y: Tensor) -> np.ndarray:
    true, made = (model.all_leads(signals.float()).cpu().numpy() for signals in (x, y))
    return metrics.prdn(true, made).ravel()
