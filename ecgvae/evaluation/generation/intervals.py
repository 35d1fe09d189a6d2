"""Heart rate, PR, QRS and QT intervals and amplitudes of records, and how they are distributed.

Each record is measured on its median beat: R peaks by `find_r_peaks`, beats aligned at 500 Hz and reduced to those of
the dominant shape. QRS is from the onset to the end of the spatial velocity, the root of the summed squared slopes of
all leads. P onsets and T ends are neurokit2's ("prominence", Emrich et al. 2024, EUSIPCO 1402) in I, II and
V5, each the median over leads.

Errors against the manual annotations of 101 LUDB records, resampled to 100 Hz; an annotation is the median over beats
and 12 leads, whose single leads are 6 to 7 ms from it:

    ==========  =====================  ============  ===========
    interval    median absolute error  median error  correlation
    ==========  =====================  ============  ===========
    PR          6.2 ms                 -2.0 ms       .92
    QRS         6.2 ms                 -1.2 ms       .88
    QT          15 ms                  +14 ms        .85
    heart rate  0.3 / min              0             .95
    ==========  =====================  ============  ===========

The slow end of a right bundle branch block lies partly below the threshold (105 ms, the median of 5 records of the
PTB-XL subset, whose 10 left bundle branch blocks have 150 ms and normal records 82 ms): QRS is too short there.
PR is measured in 76 of the 85 records with annotated P waves, and in 6 of the 16 without; 1 record is not delineated.
neurokit2 alone, beat by beat in the same leads at 100 Hz, has 8 ms (r = .85), 19 ms (.40) and 13 ms (.80) by
"prominence", and 22, 49 and 29 ms (.45, .24, .55) by "dwt" at ten times the time. Neither is better at 500 Hz, and
"cwt" fails in one of eight leads.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ecgvae.evaluation.generation.arrays import RecordProgress, check_signals, no_record_progress
from ecgvae.evaluation.generation.beats import ALIGNMENT_HZ, MAX_SHIFT_SECONDS, aligned_beats
from ecgvae.evaluation.generation.delineation import delineate, load_neurokit
from ecgvae.evaluation.generation.distributions import Distributions, compare_distributions
from ecgvae.evaluation.generation.r_peaks import band_pass, find_r_peaks
from ecgvae.signal import independent_leads, resample

BAND_HZ = (0.5, 40.0)
MIN_BEATS = 3
MIN_CORRELATION = 0.8  # of a beat with the median beat, else it has another shape
MIN_DOMINANT_SHARE = 0.5  # of the beats of a record that can be delineated
BEFORE, AFTER = (0.35, 0.40), (0.65, 0.65)  # at most so many seconds from R, and so much of an RR interval
AMPLITUDE_LEADS = ("II", "V5")


@dataclass(frozen=True, eq=False)
class Intervals:
    """Measurements of records; nan where one could not be taken.

    Attributes:
        values: By name, one value for each record (n,): "heart_rate" in 1/min; "pr", "qrs", "qt" and "qtc" (by
            Fridericia) in ms; "r_II" and "r_V5", the highest value of the QRS complex above its onset, in mV;
            "range_LEAD", the largest less the smallest value of each lead, in mV.
    """

    values: dict[str, np.ndarray]

    @property
    def undelineated(self) -> float:
        """Share of the records without a dominant beat, such as noise and flat signals."""
        return float(np.isnan(self.values["qrs"]).mean())


def measure_intervals(signals: Float[np.ndarray, "n leads t"], rate: float, leads: tuple[str, ...],
                      progress: RecordProgress = no_record_progress) -> Intervals:
    """Measures records one by one, about 14 ms each on one core.

    Args:
        signals: Records in mV.
        rate: Their sampling rate in Hz.
        leads: Standard names of the leads. PR and QT are measured in those of I, II and V5 that are there.
        progress: Called with the number of records done.

    Raises:
        ModuleNotFoundError: neurokit2 is not installed.
    """
    load_neurokit()
    signals = check_signals(signals, rate, leads)
    rows = []
    for signal in signals:
        rows.append(_measure(signal, rate, leads))
        progress(len(rows))
    values = {name: np.array([row.get(name, np.nan) for row in rows]) for name in _names(leads)}
    with np.errstate(invalid="ignore"):  # of infinite values
        ranges = np.ptp(signals, axis=-1)
    return Intervals(values | {f"range_{lead}": ranges[:, row] for row, lead in enumerate(leads)})


def compare_intervals(real: Intervals, generated: Intervals) -> dict[str, Distributions]:
    """The distributions of each measurement in two sets of records with the same leads."""
    return {name: compare_distributions(real.values[name], generated.values[name]) for name in real.values}


def _names(leads: tuple[str, ...]) -> list[str]:
    return ["heart_rate", "pr", "qrs", "qt", "qtc", *(f"r_{lead}" for lead in AMPLITUDE_LEADS if lead in leads)]


def _measure(signal: np.ndarray, rate: float, leads: tuple[str, ...]) -> dict[str, float]:
    """The measurements of a record; without those that could not be taken."""
    peaks = find_r_peaks(signal, rate)
    if len(peaks) < MIN_BEATS:
        return {}
    interval = float(np.median(np.diff(peaks))) / rate
    before, after = (round(ALIGNMENT_HZ * min(seconds, share * interval)) for seconds, share in (BEFORE, AFTER))
    fine = resample(band_pass(signal, rate, BAND_HZ), rate, ALIGNMENT_HZ)
    at = np.rint(peaks * ALIGNMENT_HZ / rate).astype(np.int64)
    beat = _dominant_beat(aligned_beats(fine, at, before, after, round(MAX_SHIFT_SECONDS * ALIGNMENT_HZ)))
    if beat is None:
        return {}
    coded = [leads.index(lead) for lead in independent_leads(leads)]
    points = delineate(beat, coded, [leads.index(lead) for lead in ("I", "II", "V5") if lead in leads], before)
    if points is None:
        return {}
    milliseconds = 1000 / ALIGNMENT_HZ
    qt = (points.t_end - points.qrs_onset) * milliseconds
    complexes = beat[:, points.qrs_onset:points.qrs_end + 1]
    amplitudes = {f"r_{lead}": float(complexes[leads.index(lead)].max() - complexes[leads.index(lead), 0])
                  for lead in AMPLITUDE_LEADS if lead in leads}
    return {"heart_rate": 60 / interval, "pr": (points.qrs_onset - points.p_onset) * milliseconds,
            "qrs": (points.qrs_end - points.qrs_onset) * milliseconds, "qt": qt, "qtc": qt / interval ** (1 / 3),
            **amplitudes}


def _dominant_beat(beats: np.ndarray) -> np.ndarray | None:
    """The median (leads, w) of the beats that resemble the median beat; None if they are few."""
    if len(beats) < MIN_BEATS:
        return None
    flat = beats - beats.mean(axis=-1, keepdims=True)
    middle = np.median(flat, axis=0)
    norms = np.sqrt(np.square(flat).sum((1, 2)) * np.square(middle).sum()).clip(min=1e-9)
    similar = (flat * middle).sum((1, 2)) / norms >= MIN_CORRELATION
    if similar.sum() < max(MIN_BEATS, MIN_DOMINANT_SHARE * len(beats)):
        return None
    return np.median(beats[similar], axis=0)
