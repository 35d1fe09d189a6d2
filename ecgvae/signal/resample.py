"""Polyphase resampling between rational rates, whole or in blocks."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from ecgvae.signal.record import as_signal, is_positive
from ecgvae.wording import plain, quote

MAX_FACTOR = 50_000  # bounds the length of the filter; other rates are approximated to two parts in 100,000
MAX_RATE_RATIO = 200
MIN_RATE = 20.0  # Hz; signals of lower rates are no ECG, and upsampling multiplies their samples
ZERO_CROSSINGS = 10  # of the filter on each side
FILTER_WINDOW = ("kaiser", 5.0)


@dataclass(frozen=True)
class Ratio:
    """The ratio of two sampling rates: `up` output samples for `down` input samples.

    Resampling a block that starts at a multiple of `down` gives the same samples as resampling the whole signal.
    """

    up: int
    down: int

    @property
    def halo(self) -> int:
        """Number of input samples on each side that an output sample depends on."""
        return 0 if self.up == self.down else ZERO_CROSSINGS * max(self.up, self.down) // self.up + 1

    def length(self, samples: int) -> int:
        """Number of output samples for a number of input samples."""
        return -(-samples * self.up // self.down)


@lru_cache(maxsize=256)
def ratio(rate_in: float, rate_out: float) -> Ratio:
    """The ratio of two rates in Hz; ValueError if they are not above 0 and within a factor of 200."""
    if not (
        0 < rate_in < 1e9 and 0 < rate_out < 1e9 and 1 / MAX_RATE_RATIO <= rate_out / rate_in <= MAX_RATE_RATIO
    ):
        raise ValueError(f"{rate_in:g} Hz to {rate_out:g} Hz; wanted rates within a factor of {MAX_RATE_RATIO}")
    exact = Fraction(rate_out).limit_denominator(10**6) / Fraction(rate_in).limit_denominator(10**6)
    nearest = (
        exact.limit_denominator(MAX_FACTOR)
        if exact <= 1
        else 1 / (1 / exact).limit_denominator(MAX_FACTOR)
    )
    return Ratio(nearest.numerator, nearest.denominator)


def check_upsampling(name: str, rate_in: float, rate_out: float) -> None:
    """Raises ValueError if a record would be upsampled from a rate that no ECG has."""
    if rate_in < min(MIN_RATE, rate_out):
        raise ValueError(f"{plain(name)} has a rate of {rate_in:g} Hz; wanted {MIN_RATE:g} Hz or more")


@lru_cache(maxsize=16)
def _filter(factor: int) -> np.ndarray:
    from scipy.signal import firwin

    return firwin(2 * ZERO_CROSSINGS * factor + 1, 1 / factor, window=FILTER_WINDOW).astype(np.float32)


def resample(x: np.ndarray, rate_in: float, rate_out: float) -> np.ndarray:
    """Resamples a signal to another rate.

    Equals scipy.signal.resample_poly(x, up, down, axis=-1, window=("kaiser", 5.0), padtype="edge"). Beyond its ends
    the signal is continued with its first and last values, so that an offset causes no step.

    Args:
        x: Samples (c, t).
        rate_in: Their sampling rate in Hz.
        rate_out: The new sampling rate in Hz, within a factor of 200.

    Returns:
        Samples (c, ceil(t * rate_out / rate_in)) float32.

    Raises:
        ValueError: The samples are not numbers (c, t), or the rates are impossible.
    """
    if not (is_positive(rate_in) and is_positive(rate_out)):
        raise ValueError(f"{quote(rate_in)} Hz to {quote(rate_out)} Hz; wanted numbers above 0")
    factors = ratio(float(rate_in), float(rate_out))
    x = as_signal(x)
    if x.ndim != 2:
        raise ValueError(f"the signal has shape {x.shape}; wanted (leads, samples)")
    if factors.up == factors.down or x.size == 0:
        return x.copy() if x.size else np.zeros((len(x), factors.length(x.shape[-1])), dtype=np.float32)
    from scipy.signal import resample_poly

    taps = _filter(max(factors.up, factors.down))
    return resample_poly(x, factors.up, factors.down, axis=-1, window=taps, padtype="edge")
