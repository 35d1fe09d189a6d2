"""Bridging of short gaps, and notes about gaps, repairs, flat leads and channels that are not used."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MAX_BRIDGE_SECONDS = 0.2
MAX_LISTED_GAPS = 3  # per lead and repair; more gaps share one note
MAX_LISTED_CHANNELS = 12  # of a note
MIN_NOTED_CHANGE_MV = 0.05  # smaller changes by the fit are not noted


def bridge_limit(rate: float) -> int:
    """Length in samples of the longest gap that is bridged, at a rate in Hz."""
    return int(MAX_BRIDGE_SECONDS * rate + 1e-9)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """The runs of true values in a mask (t,), as (start, stop)."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def bridge(
    signal: np.ndarray, rate: float, at_start: bool = True, at_end: bool = True
) -> list[tuple[int, int, int]]:
    """Fills gaps of at most 0.2 s in place with straight lines.

    Args:
        signal: A window (c, t) of a record.
        rate: Its sampling rate in Hz.
        at_start: Whether the window starts with its record; a gap there gets the value after it.
        at_end: Whether the window ends with its record; a gap there gets the value before it.

    Returns:
        (row, start, stop) of each gap that was filled.
    """
    samples, bridged = signal.shape[1], []
    is_missing = np.isnan(signal)
    for row in np.flatnonzero(is_missing.any(axis=1)).tolist():
        for start, stop in runs(is_missing[row]):
            before = signal[row, start - 1] if start else None
            after = signal[row, stop] if stop < samples else None
            if before is None and at_start:
                before = after
            if after is None and at_end:
                after = before
            if stop - start <= bridge_limit(rate) and before is not None and after is not None:
                steps = np.arange(1, stop - start + 1, dtype=np.float32) / np.float32(stop - start + 1)
                signal[row, start:stop] = before + (after - before) * steps
                bridged.append((row, start, stop))
    return bridged


@dataclass
class Report:
    """Findings and repairs in a record, collected from its windows in order; positions are in samples."""

    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    gaps: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)

    def add_ranges(self, leads: Sequence[str], low: np.ndarray, high: np.ndarray) -> None:
        """Adds the ranges of leads in a window, in mV."""
        for lead, minimum, maximum in zip(leads, low.tolist(), high.tolist(), strict=True):
            if minimum <= maximum:  # else all samples are missing
                before = self.ranges.get(lead, (minimum, maximum))
                self.ranges[lead] = min(before[0], minimum), max(before[1], maximum)

    def add_gap(self, lead: str, repair: str, start: int, stop: int) -> None:
        """Adds a gap and its repair, merged with the gap before it if they touch."""
        if start < stop:
            intervals = self.gaps.setdefault((lead, repair), [])
            if intervals and intervals[-1][1] == start:
                start = intervals.pop()[0]
            intervals.append((start, stop))

    def add_change(self, lead: str, difference: np.ndarray) -> None:
        """Adds the change that the fit made to a lead, in mV."""
        self.changes[lead] = max(self.changes.get(lead, 0), float(np.abs(difference).max(initial=0)))

    def notes(self, rate: float) -> list[str]:
        """The report in sentences, for a record of this sampling rate."""
        notes = [f"{lead} is flat" for lead, (low, high) in sorted(self.ranges.items()) if low == high]
        for (lead, repair), intervals in sorted(self.gaps.items(), key=lambda item: (item[1][0], item[0])):
            seconds = [((stop - start) / rate, start / rate) for start, stop in intervals]
            if len(intervals) > MAX_LISTED_GAPS:
                total = sum(length for length, _ in seconds)
                notes.append(f"{lead}: {total:.2f} s missing in {len(intervals)} gaps, {repair}")
            else:
                notes += [
                    f"{lead}: {length:.2f} s missing from {start:.2f} s, {repair}"
                    for length, start in seconds
                ]
        changes = [(lead, change) for lead, change in sorted(self.changes.items()) if change > MIN_NOTED_CHANGE_MV]
        return notes + [f"{lead} is moved by up to {change:.2f} mV to obey Einthoven's law" for lead, change in changes]


def unused_note(channels: Sequence[str]) -> tuple[str, ...]:
    """A note about the channels of a record that are not used; none if there are no such channels."""
    more = len(channels) - MAX_LISTED_CHANNELS
    names = ", ".join(channels[:MAX_LISTED_CHANNELS]) + (f" and {more} more" if more > 0 else "")
    subject = f"channel {names} is" if len(channels) == 1 else f"channels {names} are"
    return (f"{subject} not used",) if channels else ()
