"""Spaces of features in which real and generated ECGs are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

DIMENSIONS = 64         # of distances between features, which few records can fill
MAX_DEVIATIONS = 3.0    # of a standardized feature: beyond it, one record would decide a Fréchet distance


@runtime_checkable
class Network(Protocol):
    """What gives a signal its features."""

    def features(self, signals: np.ndarray, progress: Callable[[int], object]) -> np.ndarray:
        """Features (n, d) of signals (n, c, t) in mV; `progress` is called with the number of signals done."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Standardized features, and their principal components; both fitted to training records.

    Attributes:
        mean, deviation: Of each feature (d,).
        axes: The principal axes (d, p).
    """

    mean: np.ndarray
    deviation: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(cls, features: Float[np.ndarray, "n d"], seed: int = 0) -> "FeatureSpace":
        """The space of the features of training records, with at most `DIMENSIONS` principal components.

        Raises:
            ValueError: There are fewer than three records.
        """
        from sklearn.decomposition import PCA

        if len(features) < 3:
            raise ValueError(f"{len(features)} training records; wanted 3 or more")
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        deviation[deviation < 1e-6] = 1
        dimensions = min(DIMENSIONS, len(features) - 1, features.shape[1])
        axes = PCA(dimensions, random_state=seed).fit(standardize(features, mean, deviation)).components_.T
        return cls(mean, deviation, axes)

    def standardize(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """Features in deviations from the means of training records, at most `MAX_DEVIATIONS`."""
        return standardize(features, self.mean, self.deviation)

    def project(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n p"]:
        """Principal components of features, not whitened."""
        return self.standardize(features) @ self.axes


def standardize(features: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Features in deviations from the mean, clipped to `MAX_DEVIATIONS`."""
    return np.clip((features - mean) / deviation, -MAX_DEVIATIONS, MAX_DEVIATIONS)
