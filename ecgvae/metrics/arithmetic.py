"""Arithmetic that several metrics share, and summaries of their values."""

import numpy as np
from numpy.typing import ArrayLike


def summary(values: ArrayLike) -> dict[str, float]:
    """"mean", "median" and 95th percentile ("p95") of the values, ignoring nan; nan if there are no others."""
    array = np.asarray(values, dtype=np.float64)
    array = array[~np.isnan(array)]
    if not array.size:
        return dict.fromkeys(("mean", "median", "p95"), float("nan"))
    return {
        "mean": float(array.mean()),
        "median": float(np.median(array)),
        "p95": float(np.percentile(array, 95)),
    }


def energy(x: np.ndarray) -> np.ndarray:
    """Sum of squares along the last axis."""
    return np.sum(x**2, axis=-1)


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, nan where the denominator is 0."""
    return np.where(denominator == 0, np.nan, numerator / np.where(denominator == 0, 1.0, denominator))
