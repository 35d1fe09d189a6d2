"""Usage of codebooks: shares, entropy, and bit rates."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.codebooks import CodebookSpec


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
