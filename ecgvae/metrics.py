"""How close a reconstruction is, how close two sets of signals are, and how well codes are used."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.codebooks import CodebookSpec


def prdn(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Percent root-mean-square difference of y from x over time, the mean of x removed: (..., t) -> (...).

    100 ‖x − y‖ / ‖x − mean(x)‖ for each lead; nan where x is flat.
    """
    x, y = _pair(x, y)
    return 100 * _ratio(np.sqrt(_energy(x - y)), np.sqrt(_energy(_centred(x))))


def rmse(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Root mean square of x − y over time, in their unit: (..., t) -> (...)."""
    x, y = _pair(x, y)
    return np.sqrt(np.mean((x - y) ** 2, axis=-1))


def snr(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Decibels of x, its mean removed, over the error x − y: (..., t) -> (...).

    20 log10(‖x − mean(x)‖ / ‖x − y‖) = −20 log10(prdn / 100): inf where they are equal, nan where x is flat.
    """
    with np.errstate(divide="ignore"):
        return -20 * np.log10(prdn(x, y) / 100)


def correlation(x: ArrayLike, y: ArrayLike) -> np.ndarray:
    """Pearson's correlation of x and y over time: (..., t) -> (...); nan where either is flat."""
    x, y = _pair(x, y)
    x, y = _centred(x), _centred(y)
    return _ratio(np.sum(x * y, axis=-1), np.sqrt(_energy(x) * _energy(y)))


def power_spectrum(x: ArrayLike, rate: float) -> np.ndarray:
    """Power spectral density by Welch's method, a value for each whole number of Hz: (..., t) -> (..., f).

    Hann windows of a second, half of it overlapping, each without its mean; a shorter signal is one window.
    """
    from scipy.signal import welch

    second, x = round(rate), np.asarray(x, dtype=np.float64)
    return welch(x, rate, nperseg=min(second, x.shape[-1]), nfft=second)[1]


def spectrum_distance(x: ArrayLike, y: ArrayLike, rate: float, band: tuple[float, float] = (15, 45)) -> float:
    """Decibels between the power spectra of two sets of records, not necessarily the same: (b, c, t) each.

    The mean over the leads and the band's frequencies (Hz) of |10 log10(Py / Px)|, where P is the mean over
    records of `power_spectrum`. That of 15 to 45 Hz is large where reconstructions are too smooth, or rough.
    """
    return decibels_between(*(power_spectrum(signals, rate).mean(0) for signals in (x, y)), rate, band)


def decibels_between(x: np.ndarray, y: np.ndarray, rate: float, band: tuple[float, float] = (15, 45)) -> float:
    """`spectrum_distance` of mean power spectra (c, f); leads without power in x are left out, nan if all are."""
    frequency = np.arange(x.shape[-1]) * rate / round(rate)
    inside = (band[0] <= frequency) & (frequency <= band[1])
    x, y = x[..., inside], y[..., inside]
    with np.errstate(divide="ignore"):
        ratio = y[x > 0] / x[x > 0]
        return float(np.abs(10 * np.log10(ratio)).mean()) if ratio.size else float("nan")


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of rows, (n, d) and (m, d), also with fewer rows than d.

    |μa − μb|² + tr(Ca + Cb − 2 (Ca Cb)^½), as in Heusel et al. 2017. With C = RᵀR the last trace is the sum of
    the singular values of Ra Rbᵀ. It is too large where rows are few: compare distances of equal numbers of rows.
    """
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(max(0.0, _energy(mean_a - mean_b) + np.sum(root_a**2) + np.sum(root_b**2) - 2 * shared))


def auc(true: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Area under the ROC curve of each class (Mann-Whitney, ties count half): (n, k) -> (k,); nan for one-sided."""
    from scipy.stats import rankdata

    true = np.asarray(true, dtype=bool)
    positive, negative = true.sum(axis=0), (~true).sum(axis=0)
    above = np.sum(rankdata(scores, axis=0) * true, axis=0) - positive * (positive + 1) / 2
    return _ratio(above, positive * negative)


def code_usage(codes: ArrayLike, size: int) -> float:
    """Share of a book's `size` codes that occur at least once, 0 to 1."""
    return np.count_nonzero(_counts(codes, size)) / size


def entropy(codes: ArrayLike, size: int) -> float:
    """Bits a code by how often each occurs, −Σ p log2 p: at most log2(size); nan for no codes."""
    counts = _counts(codes, size)
    if not counts.any():
        return float("nan")
    p = counts[counts > 0] / counts.sum()
    return float(np.sum(p * np.log2(1 / p)))


def perplexity(codes: ArrayLike, size: int) -> float:
    """Number of equally frequent codes with the same entropy: 2 ** entropy."""
    return 2 ** entropy(codes, size)


def bits_per_second(streams: Iterable[CodebookSpec], rate: float, bits: Sequence[float] | None = None) -> float:
    """Bits that the streams of a signal at `rate` Hz take in a second.

    `bits` is what a code of each stream costs, such as its entropy; left out, every code has the same whole
    number of bits, ⌈log2 size⌉.
    """
    streams = list(streams)
    bits = [(stream.size - 1).bit_length() for stream in streams] if bits is None else bits
    return float(sum(rate / stream.hop * cost for stream, cost in zip(streams, bits, strict=True)))


def summary(values: ArrayLike) -> dict[str, float]:
    """Mean, median and 95th percentile of the values that are not nan; nan if there are none."""
    values = np.asarray(values, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not values.size:
        return dict.fromkeys(("mean", "median", "p95"), float("nan"))
    return {
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "p95": float(np.percentile(values, 95)),
    }


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if x.shape != y.shape or not x.ndim or not x.shape[-1]:
        raise ValueError(f"signals of shape {x.shape} and {y.shape}; two of one shape (..., t) are wanted")
    return x, y


def _centred(x: np.ndarray) -> np.ndarray:
    """x without its mean; exactly 0 where x is flat, which rounding of the mean would miss."""
    flat = np.ptp(x, axis=-1, keepdims=True) == 0
    return np.where(flat, 0.0, x - x.mean(axis=-1, keepdims=True))


def _energy(x: np.ndarray) -> np.ndarray:
    return np.sum(x**2, axis=-1)


def _gaussian(rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) of rows and an R with RᵀR their covariance."""
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"features of shape {rows.shape}; two or more rows (n, d) are wanted")
    mean = rows.mean(axis=0)
    return mean, np.linalg.qr(rows - mean, mode="r") / np.sqrt(len(rows) - 1)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, nan where the denominator is 0."""
    return np.where(denominator == 0, np.nan, numerator / np.where(denominator == 0, 1.0, denominator))


def _counts(codes: ArrayLike, size: int) -> np.ndarray:
    codes = np.asarray(codes, dtype=np.int64).ravel()
    if codes.size and not 0 <= codes.min() <= codes.max() < size:
        raise ValueError(f"codes from {codes.min()} to {codes.max()}; 0 to {size - 1} are wanted")
    return np.bincount(codes, minlength=size)
