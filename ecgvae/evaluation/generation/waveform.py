"""Power spectra, correlations between leads and amplitudes of sets of records."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ecgvae import metrics
from ecgvae.evaluation.generation.arrays import check_signals
from ecgvae.evaluation.generation.distributions import compare_distributions

BANDS_HZ = ((1.0, 5.0), (5.0, 15.0), (15.0, 45.0))  # mainly P and T waves, QRS complexes, and their sharp parts
MAX_AMPLITUDES = 200_000  # samples of a lead whose distribution is compared
BLOCK_RECORDS = 256


@dataclass(frozen=True, eq=False)
class Waveforms:
    """Statistics of a set of records.

    Attributes:
        rate: Sampling rate in Hz.
        leads: Names of the leads.
        power: Median over records of the power spectral density at 0, 1, ... Hz (leads, f) in mV²/Hz; the median,
            because one record of 27 mV would decide the mean.
        correlations: Mean over records of the correlation between leads over time (leads, leads); flat leads do not
            count.
        amplitudes: Samples of each lead less their median over the record (leads, m) in mV.
    """

    rate: float
    leads: tuple[str, ...]
    power: np.ndarray
    correlations: np.ndarray
    amplitudes: np.ndarray


def measure_waveforms(signals: Float[np.ndarray, "n leads t"], rate: float, leads: tuple[str, ...]) -> Waveforms:
    """The statistics of records in mV; missing samples count as 0 mV.

    Args:
        signals: The records.
        rate: Their sampling rate in Hz.
        leads: Names of the leads.
    """
    signals = np.nan_to_num(check_signals(signals, rate, leads), posinf=0, neginf=0)
    blocks = [signals[first:first + BLOCK_RECORDS] for first in range(0, len(signals), BLOCK_RECORDS)]
    power = np.concatenate([metrics.power_spectrum(block, rate) for block in blocks])
    return Waveforms(rate, tuple(leads), np.median(power, axis=0), lead_correlations(signals), _amplitudes(signals))


def compare_waveforms(real: Waveforms, generated: Waveforms) -> dict[str, float]:
    """Distances between two sets of records of the same leads and rate.

    Returns:
        "spectrum_db_LOW_HIGH": mean over leads and frequencies of the distance of the spectra in dB, for each band in
        Hz that the rate has. "lead_correlation": mean absolute difference of the correlations between two leads.
        "amplitude_ks_LEAD": Kolmogorov-Smirnov distance of the samples of each lead.

    Raises:
        ValueError: The sets have other leads or another rate.
    """
    if (real.leads, real.rate) != (generated.leads, generated.rate):
        raise ValueError(f"generated {', '.join(generated.leads)} at {generated.rate:g} Hz; "
                         f"wanted {', '.join(real.leads)} at {real.rate:g} Hz")
    spectra = {f"spectrum_db_{low:g}_{high:g}": metrics.power_distance(real.power, generated.power, real.rate,
                                                                       (low, high))
               for low, high in BANDS_HZ if high < real.rate / 2}
    pairs = np.triu_indices(len(real.leads), 1)
    difference = np.abs(real.correlations - generated.correlations)[pairs]
    amplitudes = {f"amplitude_ks_{lead}": compare_distributions(real.amplitudes[row], generated.amplitudes[row]).ks
                  for row, lead in enumerate(real.leads)}
    return {**spectra, "lead_correlation": float(difference.mean()) if difference.size else float("nan"), **amplitudes}


def lead_correlations(signals: Float[np.ndarray, "n leads t"]) -> Float[np.ndarray, "leads leads"]:
    """Mean over records of the correlation between leads; nan where a lead is always flat."""
    total, number = np.zeros((2, signals.shape[1], signals.shape[1]))
    for signal in signals:
        centred = signal.astype(np.float64) - signal.mean(axis=-1, keepdims=True, dtype=np.float64)
        norms = np.sqrt(np.square(centred).sum(-1))
        varies = norms > 1e-6 * np.sqrt(signal.shape[-1])  # mV
        unit = centred / np.where(varies, norms, np.inf)[:, None]
        total += unit @ unit.T
        number += np.outer(varies, varies)
    return np.where(number > 0, total / number.clip(min=1), np.nan)


def _amplitudes(signals: np.ndarray) -> np.ndarray:
    """Samples of each lead less the median of the record's lead, at most `MAX_AMPLITUDES` at equal steps."""
    step = -(-signals.shape[0] * signals.shape[2] // MAX_AMPLITUDES)
    levels = np.median(signals, axis=-1, keepdims=True)
    return np.ascontiguousarray((signals - levels).transpose(1, 0, 2).reshape(signals.shape[1], -1)[:, ::step])
