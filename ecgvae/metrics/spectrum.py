"""Power spectra, and the distance between those of two sets of signals."""

import numpy as np
from numpy.typing import ArrayLike


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
