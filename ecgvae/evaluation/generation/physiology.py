"""What a cardiologist would measure in a set of records: intervals, the shape of beats, and waveforms."""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from ecgvae.evaluation.generation.arrays import RecordProgress, check_signals, no_record_progress
from ecgvae.evaluation.generation.beats import BeatShapes, beat_shapes, compare_beat_shapes
from ecgvae.evaluation.generation.delineation import load_neurokit
from ecgvae.evaluation.generation.distributions import estimate_ks, estimate_median_ratio
from ecgvae.evaluation.generation.intervals import Intervals, compare_intervals, measure_intervals
from ecgvae.evaluation.generation.waveform import Waveforms, compare_waveforms, measure_waveforms

MIN_RATE_HZ = 40.0      # which R peaks want
MIN_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Physiology:
    """The measurements of a set of records."""

    intervals: Intervals
    beats: BeatShapes
    waveforms: Waveforms


def measure_physiology(signals: Float[np.ndarray, "n leads t"], rate: float, leads: tuple[str, ...],
                       progress: RecordProgress = no_record_progress) -> Physiology:
    """Measures a set of records in mV, about 20 ms each on one core.

    Args:
        signals: The records, of two seconds or more.
        rate: Their sampling rate in Hz, 40 or more.
        leads: Standard names of the leads.
        progress: Called with the number of records done.

    Raises:
        ModuleNotFoundError: neurokit2 is not installed.
        ValueError: The records are too short, or their rate is too low.
    """
    signals = check_signals(signals, rate, leads)
    if rate < MIN_RATE_HZ or signals.shape[-1] < MIN_SECONDS * rate:
        raise ValueError(f"records of {signals.shape[-1] / rate:g} s at {rate:g} Hz; wanted {MIN_SECONDS:g} s at "
                         f"{MIN_RATE_HZ:g} Hz or more")
    load_neurokit()
    return Physiology(*_measure_records(signals, rate, leads, progress), measure_waveforms(signals, rate, leads))


def _measure_records(signals: np.ndarray, rate: float, leads: tuple[str, ...], progress: RecordProgress
                     ) -> tuple[Intervals, BeatShapes]:
    """What is measured of each record; the intervals take two thirds of the time."""
    intervals = measure_intervals(signals, rate, leads, lambda done: progress(2 * done // 3))
    return intervals, beat_shapes(signals, rate, leads, lambda done: progress((2 * len(signals) + done) // 3))


def compare_physiology(real: Physiology, generated: Physiology, seed: int = 0) -> dict[str, dict]:
    """Distances between two sets of records of the same leads and rate.

    Returns:
        "undelineated": the shares of records of both sets whose intervals can't be measured. "intervals": see
        `compare_intervals`, as dictionaries. "beats": see `compare_beat_shapes`. "waveforms": see `compare_waveforms`.
        "ks" of intervals and "variance_ratio" of beats have `value`, `low` and `high`, a 95 % bootstrap interval over
        the records.
    """
    distributions = compare_intervals(real.intervals, generated.intervals)
    ratio = estimate_median_ratio(real.beats.variance, generated.beats.variance, seed)
    return {
        "undelineated": {"real": real.intervals.undelineated, "generated": generated.intervals.undelineated},
        "intervals": {name: {**asdict(distribution), "ks": asdict(
            estimate_ks(real.intervals.values[name], generated.intervals.values[name], seed))}
            for name, distribution in distributions.items()},
        "beats": {**compare_beat_shapes(real.beats, generated.beats), "variance_ratio": asdict(ratio)},
        "waveforms": compare_waveforms(real.waveforms, generated.waveforms),
    }
