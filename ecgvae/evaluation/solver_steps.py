"""The price of few steps: how far the samples of a latent prior are from real ones, by the number of evaluations."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae import metrics
from ecgvae.priors import LatentPrior, SamplingSettings

BATCH_SIZE = 64     # samples drawn at a time


@dataclass(frozen=True)
class SolverSteps:
    """Fréchet distance to real features, and the time to draw a sample, with a number of network evaluations."""

    solver: str
    steps: int
    frechet: float
    seconds: float


def frechet_by_steps(prior: LatentPrior, real: np.ndarray, features: Callable[[Tensor], np.ndarray], frames: int,
                     steps: Iterable[int], solver: str, condition: Float[Tensor, "b k"] | None = None, seed: int = 0
                     ) -> list[SolverSteps]:
    """Draws as many samples as there are real rows, from the same noise for every number of steps.

    Args:
        prior: A latent prior.
        real: Features (n, f) of real records.
        features: Features (b, f) of latents (b, d, n), such as those of the decoded signals.
        frames: Frames of a sample.
        steps: Numbers of network evaluations.
        solver: One that fits the prior's process.
        condition: A vector for every sample.
        seed: Seed of the samples.

    Raises:
        ValueError: The prior has no such solver.
    """
    rows = []
    for count in steps:
        settings, start = SamplingSettings(steps=count, solver=solver), time.perf_counter()
        latents = draw_batches(prior, len(real), frames, condition, settings, seed)
        seconds = (time.perf_counter() - start) / len(real)
        drawn = np.concatenate([features(z) for z in latents])
        rows.append(SolverSteps(solver, count, metrics.frechet(real, drawn), seconds))
    return rows


def draw_batches(prior: LatentPrior, count: int, frames: int, condition: Float[Tensor, "b k"] | None,
                 settings: SamplingSettings, seed: int) -> list[Float[Tensor, "_ d n"]]:
    """Samples in batches, from a generator with this seed."""
    generator = torch.Generator().manual_seed(seed)
    return [prior.sample(min(BATCH_SIZE, count - first), frames,
                         None if condition is None else condition[first:first + BATCH_SIZE], generator, settings)
            for first in range(0, count, BATCH_SIZE)]
