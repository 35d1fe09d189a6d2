"""Fréchet distance, fidelity and diversity of a set of features against real ones, with equal numbers of records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ecgvae import metrics
from ecgvae.metrics import Neighbours

MAX_PARTS = 8           # of a large set, each of which is compared with all real records
N_BOOTSTRAP = 1000
N_BOOTSTRAP_FRECHET = 100
NORMAL_95 = 1.96        # standard errors in half a 95 % interval


@dataclass(frozen=True)
class Estimate:
    """A metric with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def compare_features(real: Float[np.ndarray, "n p"], others: Float[np.ndarray, "m p"], count: int,
                     seed: int = 0) -> dict[str, Estimate]:
    """Compares features with real ones, `count` of each at a time, as most metrics depend on their number.

    The first `count` real rows are compared with up to eight parts of the other rows, which are drawn at random. The
    metrics are means over the parts. Intervals come from rows that are drawn with replacement; the balls of the
    neighbours stay, since a row that is there twice would have no distance to its neighbour.

    Args:
        real: Features of real records.
        others: Features to compare with them.
        count: Number of rows of each.
        seed: Seed of the parts and of the bootstrap.

    Returns:
        `frechet` and the metrics of `Neighbours`.

    Raises:
        ValueError: There are fewer than `count` rows.
    """
    if min(len(real), len(others)) < count:
        raise ValueError(f"{len(real)} and {len(others)} records; wanted {count} or more of each")
    random = np.random.default_rng(seed)
    real, parts = real[:count], list(equal_parts(others, count, random))
    neighbours = Neighbours.mean([Neighbours.of(real, part) for part in parts])
    resampled = [neighbours.resampled(random).metrics() for _ in range(N_BOOTSTRAP)]
    intervals = {name: np.percentile([values[name] for values in resampled], [2.5, 97.5]) for name in resampled[0]}
    shares = {name: Estimate(value, *map(float, intervals[name])) for name, value in neighbours.metrics().items()}
    return {"frechet": estimate_frechet(real, parts, random), **shares}


def equal_parts(rows: np.ndarray, count: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Up to `MAX_PARTS` different parts of rows in random order, of `count` rows each."""
    order = random.permutation(len(rows))
    for part in range(min(MAX_PARTS, len(rows) // count)):
        yield rows[order[part * count:(part + 1) * count]]


def estimate_frechet(real: np.ndarray, parts: Sequence[np.ndarray], random: np.random.Generator) -> Estimate:
    """The mean Fréchet distance of parts. Its interval has the bootstrap's standard error, as the bootstrap's mean is
    larger: rows that are drawn twice make covariances of fewer rows.
    """
    value = float(np.mean([metrics.frechet(real, part) for part in parts]))
    drawn = []
    for index in range(N_BOOTSTRAP_FRECHET):
        rows, part = real, parts[index % len(parts)]
        drawn.append(metrics.frechet(*(values[random.integers(len(values), size=len(values))]
                                       for values in (rows, part))))
    half = NORMAL_95 * float(np.std(drawn))
    return Estimate(value, max(0.0, value - half), value + half)
