"""Whether generated records are copies of training records.

A copy may be shifted in time, scaled, and a little noisy. A record is therefore compared with a training record in a
representation that these hardly change: the independent leads between 0.67 and 15 Hz. Its middle is compared with each
window of the training record within `MAX_SHIFT_SECONDS`, in steps of 10 ms, and the best scale counts:

    d = min over shifts and scales of ‖x − scale · window‖ / ‖x‖ = sqrt(1 − max correlation²),

with 0 for a copy and 1 for no resemblance. How near a record comes to its nearest training record says little alone;
the distances of held-out real records to theirs say how near a new patient comes.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float

from ecgvae.data.jobs import Progress, no_progress
from ecgvae.evaluation.generation.arrays import check_signals
from ecgvae.evaluation.generation.r_peaks import band_pass
from ecgvae.signal import independent_leads, resample

BAND_HZ = (0.67, 15.0)
SHIFT_HZ = 100.0  # rate of the representation, in whose samples records are shifted
STRIDE = 3  # every third sample is compared, which is enough below 15 Hz
MAX_SHIFT_SECONDS = 0.5
BLOCK_RECORDS = 2048  # training records in memory at once, and rows of a block of distances
MIN_SECONDS = 2.0


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest training records of some records.

    Attributes:
        distance: Distance to the nearest training record (n,).
        second: Distance to the second nearest (n,); nan if there is only one.
        index: Position of the nearest among the training records (n,).
    """

    distance: np.ndarray
    second: np.ndarray
    index: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """Distance to the nearest divided by that to the second nearest (n,)."""
        return self.distance / self.second.clip(min=1e-9)


@dataclass(frozen=True, eq=False)
class Memorisation:
    """Nearest training records of generated and of held-out real records."""

    generated: Nearest
    held_out: Nearest

    def summary(self) -> dict[str, float]:
        """Numbers that tell whether generated records are nearer to training records than held-out ones.

        Returns:
            "nearer": the probability that a generated record is nearer to the training records than a held-out one;
            .5 is as far, 1 is copies. "below_p1" and "below_minimum": share of the generated records that are nearer
            than the first percentile of the held-out ones, and than all of them; expected are .01 and about one in
            the number of held-out records. Medians of the distances, and of nearest / second nearest, which is near 1
            for a new record and near 0 for a copy.
        """
        ours, theirs = self.generated.distance, self.held_out.distance
        return {
            "nearer": share_below(ours, theirs),
            "below_p1": float((ours < np.percentile(theirs, 1)).mean()),
            "below_minimum": float((ours < theirs.min()).mean()),
            "distance_median": float(np.median(ours)),
            "held_out_distance_median": float(np.median(theirs)),
            "ratio_median": float(np.median(self.generated.ratio)),
            "held_out_ratio_median": float(np.median(self.held_out.ratio)),
        }


def memorisation(
    generated: Float[np.ndarray, "n leads t"],
    held_out: Float[np.ndarray, "m leads t"],
    training: Float[np.ndarray, "k leads u"],
    rate: float,
    leads: tuple[str, ...],
) -> Memorisation:
    """Compares the distances of generated and of held-out real records to their nearest training records.

    All records are in mV and of one length. See `nearest` for its cost.
    """
    return Memorisation(nearest(generated, training, rate, leads), nearest(held_out, training, rate, leads))


def nearest(
    records: Float[np.ndarray, "n leads t"],
    training: Float[np.ndarray, "k leads u"],
    rate: float,
    leads: tuple[str, ...],
    progress: Progress = no_progress,
) -> Nearest:
    """The nearest training record of each record, up to a shift of half a second and a positive scale.

    It is a product of matrices for each shift, 2,010 × 2,010 records of 10 s in 40 s on one core, in bounded memory.

    Args:
        records: Records in mV. Missing samples count as 0 mV; a flat record has the distance 1.
        training: Training records in mV, of the same length.
        rate: Their sampling rate in Hz.
        leads: Names of the leads. Leads that follow from others are not compared.
        progress: Called with the number of pairs of training records and shifts done, and their total.

    Raises:
        ValueError: The records are shorter than two seconds, or the lengths differ.
    """
    records, training = (check_signals(signals, rate, leads) for signals in (records, training))
    if records.shape[-1] != training.shape[-1] or records.shape[-1] < MIN_SECONDS * rate:
        raise ValueError(f"records of {records.shape[-1]} and {training.shape[-1]} samples; "
                         f"wanted equal lengths of at least {MIN_SECONDS:g} s")
    rows = [leads.index(lead) for lead in independent_leads(leads)]
    queries = _middles(_represent(records[:, rows], rate))
    found = []
    for first in range(0, len(training), BLOCK_RECORDS):
        represented = _represent(training[first:first + BLOCK_RECORDS, rows], rate)
        in_block = partial(_add_block, progress, first, len(represented), len(training))
        found.append(_nearest_in_block(queries, represented, first, in_block))
    similarity, index = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :2]
    distances = np.sqrt(1 - np.take_along_axis(similarity, order, 1).clip(0, 1) ** 2)
    return Nearest(distances[:, 0], distances[:, 1], np.take_along_axis(index, order, 1)[:, 0])


def share_below(a: np.ndarray, b: np.ndarray) -> float:
    """Probability that a value of a is below one of b, where ties count half (Mann-Whitney)."""
    order = np.sort(b)
    above = len(b) - (np.searchsorted(order, a, "left") + np.searchsorted(order, a, "right")) / 2
    return float(above.mean() / len(b))


def _represent(signals: np.ndarray, rate: float) -> np.ndarray:
    """Records between 0.67 and 15 Hz, at 100 Hz: (n, c, t) float32."""
    filtered = (band_pass(np.nan_to_num(signal, posinf=0, neginf=0), rate, BAND_HZ) for signal in signals)
    return np.stack([resample(signal, rate, SHIFT_HZ) for signal in filtered])


def _middles(signals: np.ndarray) -> np.ndarray:
    """The records without `MAX_SHIFT_SECONDS` at each end, of norm 1: (n, c w)."""
    margin = round(MAX_SHIFT_SECONDS * SHIFT_HZ)
    return _unit(signals[..., margin:-margin:STRIDE])


def _unit(windows: np.ndarray) -> np.ndarray:
    """Windows (n, c, w) as rows of norm 1; flat ones are 0."""
    rows = windows.reshape(len(windows), -1)
    norms = np.sqrt(np.square(rows).sum(1, keepdims=True))
    return rows / np.where(norms > 1e-6, norms, np.inf)


def _nearest_in_block(queries: np.ndarray, training: np.ndarray, first: int, progress: Progress
                      ) -> tuple[np.ndarray, np.ndarray]:
    """Highest correlations (n, 2) of queries with training records over shifts, and the positions of the records.

    A block of one record has a second of correlation nan.
    """
    shifts = 2 * round(MAX_SHIFT_SECONDS * SHIFT_HZ)
    width = training.shape[-1] - shifts
    best = np.full((len(queries), max(2, len(training))), np.nan, np.float32)
    best[:, :len(training)] = -1
    for shift in range(shifts + 1):
        products = queries @ _unit(training[..., shift:shift + width:STRIDE]).T
        np.maximum(best[:, :len(training)], products, out=best[:, :len(training)])
        progress(shift + 1, shifts + 1)
    order = np.argpartition(-best, 1, axis=1)[:, :2]
    return np.take_along_axis(best, order, 1), order + first


def _add_block(progress: Progress, before: int, records: int, total: int, shift: int, shifts: int) -> None:
    """Reports the shifts done of a block of training records after other blocks."""
    progress(before * shifts + records * shift, total * shifts)
