"""The onsets and ends of the waves of one beat."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Float

from ecgvae.evaluation.generation.beats import ALIGNMENT_HZ

QUIET_SHARE = 0.07  # of the highest spatial velocity: below it there is no QRS complex
QUIET_SECONDS = 0.016  # it must stay below for so long
QRS_SEARCH_SECONDS = (0.15, 0.30)  # before and after the fastest point of the beat
COPIES = 3  # of the beat, one after another; neurokit2 wants several, the middle one is used
R_SEARCH_SECONDS = 0.05
MIN_PR_SECONDS = 0.06  # shorter than in pre-excitation, a PR interval is an error
MIN_P_MV = 0.02  # height of a P wave above its onset and its end, in most leads


@dataclass(frozen=True)
class WavePoints:
    """Samples of a beat at 500 Hz; nan for a P or T wave that was not found."""

    p_onset: float
    qrs_onset: int
    qrs_end: int
    t_end: float


def delineate(
    beat: Float[np.ndarray, "leads w"], velocity_leads: Sequence[int], wave_leads: Sequence[int], r: int
) -> WavePoints | None:
    """Delineates a beat at 500 Hz; None if its QRS complex has no onset or no end.

    Args:
        beat: The beat in mV.
        velocity_leads: Rows whose slopes make the spatial velocity, independent leads.
        wave_leads: Rows in which neurokit2 looks for P and T waves.
        r: The sample of the R peak.
    """
    bounds = qrs_bounds(beat[list(velocity_leads)], r)
    if bounds is None:
        return None
    waves = p_and_t_waves(beat[list(wave_leads)], r)
    heights, ends = waves[:, 1], waves[:, 2]
    p_found = (heights > MIN_P_MV) & (waves[:, 0] <= bounds[0] - MIN_PR_SECONDS * ALIGNMENT_HZ)
    p_onset = float(np.median(waves[p_found, 0])) if 2 * p_found.sum() > len(waves) else float("nan")
    ends = ends[ends > bounds[1]]
    return WavePoints(p_onset, *bounds, float(np.median(ends)) if ends.size else float("nan"))


def qrs_bounds(beat: Float[np.ndarray, "leads w"], r: int) -> tuple[int, int] | None:
    """The first and the last sample of the QRS complex at 500 Hz, where the spatial velocity becomes quiet."""
    velocity = np.sqrt(np.square(np.gradient(beat, axis=1)).sum(0))
    reach, quiet_samples = round(QRS_SEARCH_SECONDS[0] * ALIGNMENT_HZ), round(QUIET_SECONDS * ALIGNMENT_HZ)
    start = max(0, r - reach)
    fastest = start + int(np.argmax(velocity[start:r + reach]))
    quiet = velocity < QUIET_SHARE * velocity[fastest]
    runs = np.flatnonzero(np.convolve(quiet, np.ones(quiet_samples), "valid") >= quiet_samples)  # first samples of runs
    last_before = fastest - quiet_samples
    before = runs[(runs >= last_before - reach) & (runs <= last_before)]
    after = runs[(runs > fastest) & (runs <= fastest + round(QRS_SEARCH_SECONDS[1] * ALIGNMENT_HZ))]
    return (int(before[-1]) + quiet_samples - 1, int(after[0])) if before.size and after.size else None


def p_and_t_waves(beat: Float[np.ndarray, "leads w"], r: int) -> Float[np.ndarray, "leads 3"]:
    """For each lead onset and height in mV of the P wave, and end of the T wave; nan for what is not found.

    The leads are delineated one after another in one signal, as most of neurokit2's time does not depend on its length;
    it looks at each beat alone. If it fails, they are delineated one by one.
    """
    if not len(beat):
        return np.zeros((0, 3))
    beat = beat.astype(np.float64)
    reach, width = round(R_SEARCH_SECONDS * ALIGNMENT_HZ), beat.shape[1]
    start = max(0, r - reach)
    near_r = np.abs(beat[:, start:r + reach + 1] - np.median(beat, axis=1, keepdims=True))
    peaks = np.repeat(start + near_r.argmax(axis=1), COPIES) + np.arange(COPIES * len(beat)) * width
    try:
        points = _delineate_by_prominence(np.tile(beat, COPIES).ravel(), peaks)
    except (ValueError, IndexError, KeyError, TypeError, ZeroDivisionError):  # what it raises on odd shapes
        return np.concatenate([p_and_t_waves(lead[None], r) for lead in beat]) if len(beat) > 1 else np.full((1, 3),
                                                                                                             np.nan)
    return np.array([_middle_waves(lead, row, points) for row, lead in enumerate(beat)])


def _middle_waves(lead: np.ndarray, row: int, points: dict[str, list[float]]) -> tuple[float, float, float]:
    """The waves of the middle copy of a lead's beat, from the points in the copies of all leads."""
    first, copy = (COPIES * row + COPIES // 2) * len(lead), COPIES * row + COPIES // 2
    top, onset, end, t_end = (float(points[f"ECG_{name}"][copy]) - first
                              for name in ("P_Peaks", "P_Onsets", "P_Offsets", "T_Offsets"))
    height = float("nan")
    if np.isfinite([top, onset, end]).all():
        values = lead[np.array([top, onset, end]).astype(np.int64) % len(lead)]
        height = float(values[0] - values[1:].max())
    return onset, height, t_end


def _delineate_by_prominence(signal: np.ndarray, peaks: np.ndarray) -> dict[str, list[float]]:
    """The points of the waves of each beat by neurokit2; nan where there is none.

    It drops points at the first sample, which belong to the first beat; nan takes their place.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, points = load_neurokit().ecg_delineate(signal, peaks, sampling_rate=int(ALIGNMENT_HZ), method="prominence")
    return {name: [float("nan")] * (len(peaks) - len(values)) + list(values) for name, values in points.items()}


def load_neurokit() -> ModuleType:
    """The library neurokit2; ModuleNotFoundError that names the extra if it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports what is deprecated
            import neurokit2
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"PR and QT intervals need {error.name}; pip install ecgvae[delineation]") from None
    return neurokit2
