"""Missing samples bridged, and a note for everything that was found or repaired."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

LONGEST_BRIDGE = 0.2  # seconds
NOTED_GAPS = 3  # one by one; more of a lead are summed up
NOTED_CHANGE = 0.05  # mV by which the fit moves a lead


def bridge_limit(rate: float) -> int:
    """Samples of the longest gap that is bridged."""
    return int(LONGEST_BRIDGE * rate + 1e-9)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Where a mask (t,) is true, as (start, stop)."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def bridge(
    signal: np.ndarray, rate: float, starts: bool = True, ends: bool = True
) -> list[tuple[int, int, int]]:
    """Fills gaps of at most 0.2 s in place by a straight line; (row, start, stop) of each.

    A window (c, t) that starts or ends with its record holds the next or last value there.
    """
    samples, bridged = signal.shape[1], []
    holes = np.isnan(signal)
    for row in np.flatnonzero(holes.any(axis=1)).tolist():
        for start, stop in runs(holes[row]):
            before = signal[row, start - 1] if start else None
            after = signal[row, stop] if stop < samples else None
            if before is None and starts:
                before = after
            if after is None and ends:
                after = before
            if stop - start <= bridge_limit(rate) and before is not None and after is not None:
                steps = np.arange(1, stop - start + 1, dtype=np.float32) / np.float32(stop - start + 1)
                signal[row, start:stop] = before + (after - before) * steps
                bridged.append((row, start, stop))
    return bridged


@dataclass
class Report:
    """What was found and repaired, in samples of the record; its windows report one after the other."""

    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    gaps: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)

    def seen(self, leads: Sequence[str], low: np.ndarray, high: np.ndarray) -> None:
        """The ranges of leads in a window."""
        for lead, *new in zip(leads, low.tolist(), high.tolist(), strict=True):
            if new[0] <= new[1]:  # else all is missing
                old = self.ranges.get(lead, new)
                self.ranges[lead] = min(old[0], new[0]), max(old[1], new[1])

    def gap(self, lead: str, repair: str, start: int, stop: int) -> None:
        """A gap and what was done about it, joined to the last one where they meet."""
        if start < stop:
            intervals = self.gaps.setdefault((lead, repair), [])
            if intervals and intervals[-1][1] == start:
                start = intervals.pop()[0]
            intervals.append((start, stop))

    def change(self, lead: str, difference: np.ndarray) -> None:
        """What the fit did to a lead."""
        self.changes[lead] = max(self.changes.get(lead, 0), float(np.abs(difference).max(initial=0)))

    def notes(self, rate: float) -> list[str]:
        notes = [f"{lead} is flat" for lead, (low, high) in sorted(self.ranges.items()) if low == high]
        for (lead, repair), intervals in sorted(self.gaps.items(), key=lambda item: (item[1][0], item[0])):
            seconds = [((stop - start) / rate, start / rate) for start, stop in intervals]
            if len(intervals) > NOTED_GAPS:
                total = sum(length for length, _ in seconds)
                notes.append(f"{lead}: {total:.2f} s missing in {len(intervals)} gaps, {repair}")
            else:
                notes += [
                    f"{lead}: {length:.2f} s missing from {start:.2f} s, {repair}"
                    for length, start in seconds
                ]
        moved = [(lead, change) for lead, change in sorted(self.changes.items()) if change > NOTED_CHANGE]
        return notes + [
            f"{lead} is moved by up to {change:.2f} mV to obey Einthoven's law" for lead, change in moved
        ]
