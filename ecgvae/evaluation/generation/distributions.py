"""Distributions of a quantity over the records of two sets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.evaluation.generation.distances import NORMAL_95, Estimate

N_BOOTSTRAP = 200


@dataclass(frozen=True)
class Distributions:
    """How far a quantity is distributed differently in generated than in real records.

    Attributes:
        ks: The Kolmogorov-Smirnov distance, the largest difference of the cumulative distributions: 0 to 1. Two sets
            of n and m records of one distribution have about 0.9 sqrt(1/n + 1/m). nan if a set has no values.
        real_median, generated_median: The medians.
        real_values, generated_values: Number of records in which the quantity was measured.
    """

    ks: float
    real_median: float
    generated_median: float
    real_values: int
    generated_values: int


def compare_distributions(real: ArrayLike, generated: ArrayLike) -> Distributions:
    """Compares the values of real and of generated records, without those that are nan."""
    x, y = _finite(real), _finite(generated)
    distance = ks_distance(*_places(x, y)) if x.size and y.size else float("nan")
    return Distributions(distance, _median(x), _median(y), x.size, y.size)


def estimate_ks(real: ArrayLike, generated: ArrayLike, seed: int = 0) -> Estimate:
    """The Kolmogorov-Smirnov distance of the values of real and of generated records, without those that are nan.

    Its interval has the bootstrap's standard error, as the bootstrap's mean is larger: records that are drawn twice
    make steps of distributions of fewer records.
    """
    x, y = _finite(real), _finite(generated)
    if not x.size or not y.size:
        return Estimate(*[float("nan")] * 3)
    random, (x, y) = np.random.default_rng(seed), _places(x, y)
    half = NORMAL_95 * float(np.std([ks_distance(_draw(x, random), _draw(y, random)) for _ in range(N_BOOTSTRAP)]))
    value = ks_distance(x, y)
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def estimate_median_ratio(real: ArrayLike, generated: ArrayLike, seed: int = 0) -> Estimate:
    """The median of generated records divided by that of real ones, without those that are nan, by the bootstrap."""
    x, y = _finite(real), _finite(generated)
    if not x.size or not y.size or np.median(x) <= 0:
        return Estimate(*[float("nan")] * 3)
    random = np.random.default_rng(seed)
    medians = [(np.median(_draw(x, random)), np.median(_draw(y, random))) for _ in range(N_BOOTSTRAP)]
    low, high = np.percentile([ours / theirs for theirs, ours in medians if theirs > 0], [2.5, 97.5])
    return Estimate(_median(y) / _median(x), float(low), float(high))


def ks_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The largest difference of the cumulative distributions of integers from 0 on."""
    length = max(x.max(), y.max()) + 1
    steps = np.bincount(x, minlength=length) / len(x) - np.bincount(y, minlength=length) / len(y)
    return float(np.abs(np.cumsum(steps)).max())


def _places(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each value among the different values of both sets."""
    places = np.unique(np.concatenate([x, y]), return_inverse=True)[1]
    return places[:len(x)], places[len(x):]


def _draw(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many values, drawn with replacement."""
    return values[random.integers(len(values), size=len(values))]


def _finite(values: ArrayLike) -> np.ndarray:
    flat = np.ravel(np.asarray(values, dtype=np.float64))
    return flat[np.isfinite(flat)]


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
