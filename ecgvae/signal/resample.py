"""Polyphase resampling between rational rates, whole or in blocks."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

LARGEST_FACTOR = 50_000  # bounds the filter; odd rates are met within two parts in 100,000
LARGEST_RATIO = 200
ZERO_CROSSINGS = 10  # of the filter on either side
WINDOW = ("kaiser", 5.0)


@dataclass(frozen=True)
class Ratio:
    """Output samples (up) for input samples (down); blocks that start at a multiple of down stay in step."""

    up: int
    down: int

    @property
    def halo(self) -> int:
        """Input samples on either side that an output sample depends on."""
        return 0 if self.up == self.down else ZERO_CROSSINGS * max(self.up, self.down) // self.up + 1

    def length(self, samples: int) -> int:
        """Output samples of so many input samples."""
        return -(-samples * self.up // self.down)


@lru_cache(maxsize=256)
def ratio(rate_in: float, rate_out: float) -> Ratio:
    """The ratio of two rates in Hz."""
    if not (
        0 < rate_in < 1e9 and 0 < rate_out < 1e9 and 1 / LARGEST_RATIO <= rate_out / rate_in <= LARGEST_RATIO
    ):
        raise ValueError(
            f"{rate_in:g} Hz to {rate_out:g} Hz; wanted rates within a factor of {LARGEST_RATIO}"
        )
    exact = Fraction(rate_out).limit_denominator(10**6) / Fraction(rate_in).limit_denominator(10**6)
    near = (
        exact.limit_denominator(LARGEST_FACTOR)
        if exact <= 1
        else 1 / (1 / exact).limit_denominator(LARGEST_FACTOR)
    )
    return Ratio(near.numerator, near.denominator)


@lru_cache(maxsize=16)
def _filter(factor: int) -> np.ndarray:
    from scipy.signal import firwin

    return firwin(2 * ZERO_CROSSINGS * factor + 1, 1 / factor, window=WINDOW).astype(np.float32)


def resample(x: np.ndarray, rate_in: float, rate_out: float) -> np.ndarray:
    """Signals (c, t) at another rate, (c, ceil(t * rate_out / rate_in)) float32.

    Equals scipy.signal.resample_poly(x, up, down, axis=-1, window=("kaiser", 5.0), padtype="edge"): the
    first and last values are held beyond the ends, so that an offset makes no step there.
    """
    factors = ratio(rate_in, rate_out)
    x = np.asarray(x, dtype=np.float32)
    if factors.up == factors.down or x.size == 0:
        return x.copy() if x.size else np.zeros((len(x), factors.length(x.shape[-1])), dtype=np.float32)
    from scipy.signal import resample_poly

    window = _filter(max(factors.up, factors.down))
    return resample_poly(x, factors.up, factors.down, axis=-1, window=window, padtype="edge")
