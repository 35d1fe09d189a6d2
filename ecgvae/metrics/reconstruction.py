"""Errors of reconstructions: PRDN, RMSE, signal-to-noise ratio and correlation over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.metrics.arithmetic import energy, ratio


def prdn(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Normalized percent root-mean-square difference (PRDN) of y from x over time: (..., t) -> (...).

    100 ‖x − y‖ / ‖x − mean(x)‖ for each lead; nan where x is flat.
    """
    return Moments.of(x, y).prdn()


def rmse(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Root mean square of x − y over time, in the unit of x and y: (..., t) -> (...)."""
    return Moments.of(x, y).rmse()


def snr(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Signal-to-noise ratio in dB of x, with its mean removed, to the error x − y: (..., t) -> (...).

    20 log10(‖x − mean(x)‖ / ‖x − y‖) = −20 log10(prdn / 100): inf where x and y are equal, nan where x is flat.
    """
    return prdn_to_snr(prdn(x, y))


def prdn_to_snr(value: ArrayLike) -> np.ndarray:
    """The signal-to-noise ratio in dB that goes with a PRDN in %."""
    with np.errstate(divide="ignore"):
        return -20 * np.log10(np.asarray(value, dtype=np.float64) / 100)


def correlation(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Pearson correlation of x and y over time: (..., t) -> (...); nan where x or y is flat."""
    return Moments.of(x, y).correlation()


@dataclass(frozen=True, eq=False)
class Moments:
    """Central moments over time of signals x and y, which add up over consecutive parts (Chan et al. 1979).

    Attributes:
        samples: Number of samples.
        means: Means of x and y (2, ...).
        squares: Sums of squared deviations from the means (2, ...).
        product: Sum of the products of the deviations (...).
        error: Sum of (x − y)² (...).
    """

    samples: int
    means: np.ndarray
    squares: np.ndarray
    product: np.ndarray
    error: np.ndarray

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike) -> "Moments":
        """The moments of x and y over time: (..., t) -> (...)."""
        x, y = _pair(x, y)
        pair = np.stack([x, y])
        first = pair[..., :1]
        means = first + (pair - first).mean(axis=-1, keepdims=True)     # exact where a signal is flat
        centred = pair - means
        return cls(x.shape[-1], means[..., 0], energy(centred), np.sum(centred[0] * centred[1], axis=-1),
                   energy(x - y))

    def __add__(self, other: "Moments") -> "Moments":
        samples = self.samples + other.samples
        weight, shift = self.samples * other.samples / samples, other.means - self.means
        return Moments(samples, self.means + shift * (other.samples / samples),
                       self.squares + other.squares + weight * shift**2,
                       self.product + other.product + weight * shift[0] * shift[1], self.error + other.error)

    def prdn(self) -> np.ndarray:
        """As `prdn` of x and y."""
        return 100 * ratio(np.sqrt(self.error), np.sqrt(self.squares[0]))

    def rmse(self) -> np.ndarray:
        """As `rmse` of x and y."""
        return np.sqrt(self.error / self.samples)

    def correlation(self) -> np.ndarray:
        """As `correlation` of x and y."""
        return ratio(self.product, np.sqrt(self.squares[0] * self.squares[1]))


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two signals as float64; ValueError if their shapes differ."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or not x.ndim or not x.shape[-1]:
        raise ValueError(f"signals of shape {x.shape} and {y.shape}; wanted two of one shape (..., t)")
    return x, y
