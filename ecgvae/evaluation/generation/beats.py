"""The beats of a record, and how much their shape varies.

A generator that draws a record piece by piece may let the shape of the beats drift, as no heart does. The variance of
normal beats' shape within a record tells: the beats of one record are cut out around their R peaks, aligned, and
compared with their mean.

- Normal beats are chosen by rhythm alone: those whose RR intervals before and after differ by at most 15 % from the
  record's median RR interval. Beats are not left out by their shape, because that would hide what is measured;
  ectopic beats come early, so that the rhythm leaves them out. A record is regular if it has at least `MIN_BEATS`
  normal beats and they are at least three quarters of its beats. Only regular records count.
- Signals are band-passed between 0.67 and 30 Hz, and the mean of each beat and lead is removed: neither wander of the
  baseline nor noise of muscles and mains is shape.
- Beats are aligned at 500 Hz, and shifts of less than a sample are removed to first order, because 5 ms of jitter in a
  QRS complex would look like a change of shape.
- `variance` is the variance over beats, summed over leads and time, divided by the energy of the mean beat.
- `successive` is half the mean squared difference of consecutive beats, over the same energy (von Neumann 1941, Ann
  Math Stat 12:367). It has the noise and what changes from one beat to the next. `drift`, which is `variance` less
  `successive`, is the slow change: independent noise adds nothing to it on average.

On fold 9 of the PTB-XL subset (267 records) the median variance is 0.9 %, of which 0.1 % is drift. With a limit of 15,
25 or 40 Hz in place of 30 it is 1.0, 0.9 and 1.0 %: noise does not decide it. Beats that slowly become another
patient's, by 10, 20 and 50 % at the end, have 1.13, 1.40 and 3.4 times the variance and 1.8, 4 and 18 times the
drift; beats that change as much at random have 1.14, 1.46 and 3.6 times the variance. White noise of 20 µV makes the
variance 1.8 times and the drift 1.04 times as large, so a large `successive` may also be noise.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ecgvae.evaluation.generation.arrays import RecordProgress, check_signals, no_record_progress
from ecgvae.evaluation.generation.distributions import compare_distributions
from ecgvae.evaluation.generation.r_peaks import band_pass, find_r_peaks
from ecgvae.signal import resample

ALIGNMENT_HZ = 500.0
SHAPE_BAND_HZ = (0.67, 30.0)
MAX_SHIFT_SECONDS = 0.03
RR_TOLERANCE = 0.15  # of the median RR interval
MIN_NORMAL_SHARE = 0.75  # of the beats of a regular record
MIN_BEATS = 5
SHAPE_BEFORE, SHAPE_AFTER = (0.25, 0.35), (0.45, 0.55)  # at most so many seconds from R, and so much of an RR interval


@dataclass(frozen=True, eq=False)
class BeatShapes:
    """How much the shape of beats varies within each record, as shares of the beats' energy; nan if not regular.

    Attributes:
        variance: Variance of the beats (n,).
        successive: The part of it that changes from one beat to the next (n,).
    """

    variance: np.ndarray
    successive: np.ndarray

    @property
    def drift(self) -> np.ndarray:
        """The part of the variance that changes slowly (n,); it may be below 0 where there is none."""
        return self.variance - self.successive

    @property
    def regular(self) -> float:
        """Share of the records that have a regular rhythm."""
        return float(np.isfinite(self.variance).mean())


def beat_shapes(signals: Float[np.ndarray, "n leads t"], rate: float, leads: tuple[str, ...],
                progress: RecordProgress = no_record_progress) -> BeatShapes:
    """The variance of the shape of normal beats within each record.

    Args:
        signals: Records in mV.
        rate: Their sampling rate in Hz.
        leads: Names of the leads.
        progress: Called with the number of records done.
    """
    rows = []
    for signal in check_signals(signals, rate, leads):
        rows.append(_shape_variance(signal, rate))
        progress(len(rows))
    values = np.array(rows)
    return BeatShapes(values[:, 0], values[:, 1])


def compare_beat_shapes(real: BeatShapes, generated: BeatShapes) -> dict[str, float]:
    """Medians over regular records of both sets, their ratios, Kolmogorov-Smirnov distances, shares of regular records.

    A ratio above 1 says that the beats of a generated record vary more than those of a patient.
    """
    result = {"real_regular": real.regular, "generated_regular": generated.regular}
    for name in ("variance", "successive", "drift"):
        both = compare_distributions(getattr(real, name), getattr(generated, name))
        ratio = both.generated_median / both.real_median if both.real_median > 0 else float("nan")
        result |= {f"real_{name}": both.real_median, f"generated_{name}": both.generated_median,
                   f"{name}_ratio": ratio, f"{name}_ks": both.ks}
    return result


def normal_beats(peaks: Int[np.ndarray, "n"]) -> np.ndarray:
    """A mask (n,) of the beats whose RR intervals before and after are near the median RR interval."""
    if len(peaks) < 3:
        return np.zeros(len(peaks), bool)
    intervals = np.diff(peaks)
    near = np.abs(intervals / np.median(intervals) - 1) <= RR_TOLERANCE
    return np.concatenate([[True], near]) & np.concatenate([near, [True]])


def is_regular(peaks: Int[np.ndarray, "n"]) -> bool:
    """Whether a record with these R peaks has a regular rhythm."""
    normal = normal_beats(peaks)
    return bool(normal.sum() >= max(MIN_BEATS, MIN_NORMAL_SHARE * len(peaks)))


def aligned_beats(
    signal: Float[np.ndarray, "leads t"], peaks: Int[np.ndarray, "n"], before: int, after: int, max_shift: int
) -> Float[np.ndarray, "m leads w"]:
    """Beats from `before` samples before R to `after` samples after it, each shifted to fit their median best.

    Beats that the record does not have whole are left out.
    """
    first = peaks - before
    first = first[(first >= max_shift) & (first + before + after + max_shift <= signal.shape[1])]
    if not first.size:
        return np.zeros((0, len(signal), before + after), signal.dtype)
    windows = np.lib.stride_tricks.sliding_window_view(signal, before + after, axis=1)
    shifts = np.arange(-max_shift, max_shift + 1)
    beats = windows[:, first].transpose(1, 0, 2)
    for _ in range(2):
        template = np.median(beats, axis=0)
        errors = [np.square(windows[:, first + shift].transpose(1, 0, 2) - template).sum((1, 2)) for shift in shifts]
        beats = windows[:, first + shifts[np.argmin(errors, axis=0)]].transpose(1, 0, 2)
    return beats


def _shape_variance(signal: np.ndarray, rate: float) -> tuple[float, float]:
    """The variance of the beats' shape, and the part between consecutive beats; nan if the rhythm is not regular."""
    peaks = find_r_peaks(signal, rate)
    if not is_regular(peaks):
        return float("nan"), float("nan")
    fine = resample(band_pass(signal, rate, SHAPE_BAND_HZ), rate, ALIGNMENT_HZ)
    interval = np.median(np.diff(peaks)) / rate
    before, after = (round(ALIGNMENT_HZ * min(seconds, share * interval))
                     for seconds, share in (SHAPE_BEFORE, SHAPE_AFTER))
    at = np.rint(peaks[normal_beats(peaks)] * ALIGNMENT_HZ / rate).astype(np.int64)
    beats = aligned_beats(fine, at, before, after, round(MAX_SHIFT_SECONDS * ALIGNMENT_HZ))
    if len(beats) < MIN_BEATS - 1:  # the first and the last may be cut by the ends of the record
        return float("nan"), float("nan")
    beats = _without_shifts(beats - beats.mean(axis=-1, keepdims=True))
    energy = np.square(beats.mean(axis=0)).sum()
    variance = beats.var(axis=0, ddof=1).sum()
    successive = np.square(np.diff(beats, axis=0)).sum() / (2 * (len(beats) - 1))
    return float(variance / energy), float(successive / energy)


def _without_shifts(beats: np.ndarray) -> np.ndarray:
    """Beats (n, leads, w) less the effect of shifts of up to half a sample from their mean, to first order."""
    mean = beats.mean(axis=0)
    slope = np.gradient(mean, axis=-1)
    shifts = ((beats - mean) * slope).sum((1, 2)) / np.square(slope).sum().clip(min=1e-12)
    return beats - shifts.clip(-0.5, 0.5)[:, None, None] * slope
