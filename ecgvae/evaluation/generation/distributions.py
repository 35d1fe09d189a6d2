"""Distributions of a quantity over the records of two sets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


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
    from scipy.stats import ks_2samp

    x, y = (np.ravel(np.asarray(values, dtype=np.float64)) for values in (real, generated))
    x, y = x[np.isfinite(x)], y[np.isfinite(y)]
    distance = float(ks_2samp(x, y, method="asymp").statistic) if x.size and y.size else float("nan")
    return Distributions(distance, _median(x), _median(y), x.size, y.size)


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else float("nan")
