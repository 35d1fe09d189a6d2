"""How close a reconstruction is, and how well its codes are used; numpy only."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike


class CodeStream(Protocol):
    """A stream of codes: `hop` samples a code, drawn from `size` codes."""

    hop: int
    size: int


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


def bits_per_second(streams: Iterable[CodeStream], rate: float, bits: Sequence[float] | None = None) -> float:
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


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, nan where the denominator is 0."""
    return np.where(denominator == 0, np.nan, numerator / np.where(denominator == 0, 1.0, denominator))


def _counts(codes: ArrayLike, size: int) -> np.ndarray:
    codes = np.asarray(codes, dtype=np.int64).ravel()
    if codes.size and not 0 <= codes.min() <= codes.max() < size:
        raise ValueError(f"codes from {codes.min()} to {codes.max()}; 0 to {size - 1} are wanted")
    return np.bincount(codes, minlength=size)
