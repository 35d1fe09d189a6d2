"""Metrics of reconstructions, of sets of signals, of classifiers and of code usage."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.codebooks import CodebookSpec


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
        return cls(x.shape[-1], means[..., 0], _energy(centred), np.sum(centred[0] * centred[1], axis=-1),
                   _energy(x - y))

    def __add__(self, other: "Moments") -> "Moments":
        samples = self.samples + other.samples
        weight, shift = self.samples * other.samples / samples, other.means - self.means
        return Moments(samples, self.means + shift * (other.samples / samples),
                       self.squares + other.squares + weight * shift**2,
                       self.product + other.product + weight * shift[0] * shift[1], self.error + other.error)

    def prdn(self) -> np.ndarray:
        """As `prdn` of x and y."""
        return 100 * _ratio(np.sqrt(self.error), np.sqrt(self.squares[0]))

    def rmse(self) -> np.ndarray:
        """As `rmse` of x and y."""
        return np.sqrt(self.error / self.samples)

    def correlation(self) -> np.ndarray:
        """As `correlation` of x and y."""
        return _ratio(self.product, np.sqrt(self.squares[0] * self.squares[1]))


def power_spectrum(x: ArrayLike, rate: float) -> np.ndarray:
    """Power spectral density by Welch's method, with one value per Hz: (..., t) -> (..., f).

    Hann windows of one second overlap by half, and their means are removed. A shorter signal is one window.
    """
    from scipy.signal import welch

    second, x = round(rate), np.asarray(x, dtype=np.float64)
    return welch(x, rate, nperseg=min(second, x.shape[-1]), nfft=second)[1]


def spectrum_distance(x: ArrayLike, y: ArrayLike, rate: float, band: tuple[float, float] = (15, 45)) -> float:
    """Distance in dB between the mean power spectra of two sets of signals.

    It is the mean over leads and frequencies of |10 log10(Py / Px)|, where P is the mean of `power_spectrum` over the
    signals of a set. Between 15 and 45 Hz it is large where reconstructions are too smooth, or too rough.

    Args:
        x: Signals (b, c, t).
        y: Signals (b', c, t'), which need not be reconstructions of x.
        rate: Their sampling rate in Hz.
        band: The lowest and the highest frequency in Hz.
    """
    return power_distance(power_spectrum(x, rate).mean(0), power_spectrum(y, rate).mean(0), rate, band)


def power_distance(x: np.ndarray, y: np.ndarray, rate: float, band: tuple[float, float] = (15, 45)) -> float:
    """`spectrum_distance` of mean power spectra (c, f). Frequencies without power in x are ignored; nan if all are."""
    frequency = np.arange(x.shape[-1]) * rate / round(rate)
    inside = (band[0] <= frequency) & (frequency <= band[1])
    x, y = x[..., inside], y[..., inside]
    with np.errstate(divide="ignore"):
        ratio = y[x > 0] / x[x > 0]
        return float(np.abs(10 * np.log10(ratio)).mean()) if ratio.size else float("nan")


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features (Heusel et al. 2017).

    |μa − μb|² + tr(Ca + Cb − 2 (Ca Cb)^½). With C = RᵀR the last trace is the sum of the singular values of Ra Rbᵀ,
    which also holds for fewer rows than columns. Few rows bias it upwards, so compare
    only distances for equal numbers of rows.

    Args:
        a: Features (n, d).
        b: Features (m, d).
    """
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(max(0.0, _energy(mean_a - mean_b) + np.sum(root_a**2) + np.sum(root_b**2) - 2 * shared))


def auc(true: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Area under the ROC curve of each class: (n, k) -> (k,); nan for a class that all rows have, or none.

    It is computed as the Mann-Whitney statistic, in which ties count half.

    Args:
        true: Whether each row has each class.
        scores: Scores that are higher for rows that have the class.
    """
    from scipy.stats import rankdata

    true = np.asarray(true, dtype=bool)
    positive, negative = true.sum(axis=0), (~true).sum(axis=0)
    above = np.sum(rankdata(scores, axis=0) * true, axis=0) - positive * (positive + 1) / 2
    return _ratio(above, positive * negative)


def code_usage(codes: ArrayLike, size: int) -> float:
    """Share of a codebook's `size` codes that occur at least once."""
    return np.count_nonzero(count_codes(codes, size)) / size


def entropy(codes: ArrayLike, size: int) -> float:
    """Entropy of the frequencies of codes in bits, −Σ p log2 p: at most log2(size); nan for no codes."""
    return entropy_of_counts(count_codes(codes, size))


def entropy_of_counts(counts: np.ndarray) -> float:
    """`entropy` of codes that occur so many times each."""
    if not counts.any():
        return float("nan")
    p = counts[counts > 0] / counts.sum()
    return float(np.sum(p * np.log2(1 / p)))


def perplexity(codes: ArrayLike, size: int) -> float:
    """Number of equally frequent codes with the same entropy: 2 ** entropy."""
    return 2 ** entropy(codes, size)


def count_codes(codes: ArrayLike, size: int) -> np.ndarray:
    """Number of occurrences of each of a codebook's `size` codes; ValueError for codes beyond them."""
    codes = np.asarray(codes, dtype=np.int64).ravel()
    if codes.size and not 0 <= codes.min() <= codes.max() < size:
        raise ValueError(f"codes from {codes.min()} to {codes.max()}; wanted 0 to {size - 1}")
    return np.bincount(codes, minlength=size)


def bits_per_second(
    codebooks: Iterable[CodebookSpec], rate: float, bits: Sequence[float] | None = None
) -> float:
    """Bit rate of the codes of a signal.

    Args:
        codebooks: Hop and size of each codebook.
        rate: The sampling rate of the signal in Hz.
        bits: Bits per code for each codebook, such as its entropy; by default ⌈log2 size⌉.
    """
    codebooks = list(codebooks)
    bits = [(spec.size - 1).bit_length() for spec in codebooks] if bits is None else bits
    return float(sum(rate / spec.hop * cost for spec, cost in zip(codebooks, bits, strict=True)))


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


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two signals as float64; ValueError if their shapes differ."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or not x.ndim or not x.shape[-1]:
        raise ValueError(f"signals of shape {x.shape} and {y.shape}; wanted two of one shape (..., t)")
    return x, y


def _energy(x: np.ndarray) -> np.ndarray:
    return np.sum(x**2, axis=-1)


def _gaussian(rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) of rows, and a matrix R such that RᵀR is their covariance."""
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"features of shape {rows.shape}; wanted two or more rows (n, d)")
    mean = rows.mean(axis=0)
    return mean, np.linalg.qr(rows - mean, mode="r") / np.sqrt(len(rows) - 1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, nan where the denominator is 0."""
    return np.where(denominator == 0, np.nan, numerator / np.where(denominator == 0, 1.0, denominator))
