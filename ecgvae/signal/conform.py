"""Records as a model wants them: its leads by name, without gaps, fitted to its coded leads, at its rate."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ecgvae.signal.leads import LIMB, canonical_lead, fit_leads
from ecgvae.signal.reading import RecordFile
from ecgvae.signal.record import Record, SignalSpec
from ecgvae.signal.repairs import Report, bridge, bridge_limit
from ecgvae.signal.resample import Ratio, ratio, resample

Missing = Literal["error", "zero"]
Terms = list[list[tuple[float, int]]]


@dataclass(frozen=True, eq=False)
class Conformed:
    """What a model takes: signal (c, t) float32 in mV at its rate, and a note for every repair."""

    signal: np.ndarray
    notes: tuple[str, ...] = ()


def conform(record: Record, spec: SignalSpec, missing: Missing = "error", refit: bool = True) -> Conformed:
    """The coded leads (c, t) of a record at the rate of the spec; without refit, all its leads as they are.

    Gaps of at most 0.2 s are bridged; in longer ones a limb lead is derived from others, any other is 0 mV.
    A lead the record lacks is a ValueError, or 0 mV where missing is "zero".
    """
    (block,) = conform_stream(record, spec, missing, math.inf, refit)
    return block


def conform_stream(
    source: Record | RecordFile,
    spec: SignalSpec,
    missing: Missing = "error",
    seconds: float = 600.0,
    refit: bool = True,
) -> Iterator[Conformed]:
    """Blocks of about so many seconds, which together equal the whole conformed at once.

    The last one has the notes of all.
    """
    plan = _plan(source, spec, missing, refit)
    block = source.samples
    if seconds * source.rate < block:
        block = max(1, round(seconds * source.rate / plan.ratio.down)) * plan.ratio.down
    report = Report()
    for start in range(0, source.samples, block):
        stop = min(start + block, source.samples)
        signal = _block(source, plan, report, start, stop)
        notes = plan.notes + tuple(report.notes(source.rate)) if stop == source.samples else ()
        yield Conformed(signal, notes)


@dataclass(frozen=True)
class Plan:
    """Which rows of a record are used, under which names, for which leads."""

    rows: list[int]
    used: tuple[str, ...]
    wanted: tuple[str, ...]
    lost: tuple[str, ...]  # wanted, but nothing in the record gives them
    keep: bool  # wanted leads that are used stay as they are
    rates: tuple[float, float]
    ratio: Ratio

    @property
    def notes(self) -> tuple[str, ...]:
        derived = [lead for lead in self.wanted if lead not in (*self.used, *self.lost)]
        return (
            *(f"{lead} is missing, set to 0 mV" for lead in self.lost),
            *(f"{lead} is missing, derived from others" for lead in derived),
        )


def _plan(source: Record | RecordFile, spec: SignalSpec, missing: Missing, refit: bool) -> Plan:
    if missing not in ("error", "zero"):
        raise ValueError(f"missing={missing!r}; wanted error or zero")
    if not source.samples:
        raise ValueError(f"{source.name} has no samples")
    wanted = spec.coded if refit else spec.leads
    useful = {*wanted, *(LIMB if any(lead in LIMB for lead in wanted) else ())}
    rows = {canonical_lead(lead): row for row, lead in reversed(list(enumerate(source.leads)))}
    used = tuple(lead for lead in rows if lead in useful)
    keep = not refit or len(spec.coded) == len(spec.leads)
    _, lost = fit_leads(used, wanted, keep)
    if lost and (missing == "error" or len(lost) == len(wanted)):
        has = ", ".join(source.leads) + "".join(f" (left out: {channel})" for channel in source.skipped_channels)
        raise ValueError(f"{source.name} has leads {has}; the model wants {', '.join(wanted)}")
    rates = source.rate, spec.rate
    return Plan([rows[lead] for lead in used], used, wanted, lost, keep, rates, ratio(*rates))


def _block(source: Record | RecordFile, plan: Plan, report: Report, start: int, stop: int) -> np.ndarray:
    """The samples from start to stop, with so much before and after that nothing beyond it can matter."""
    halo = plan.ratio.halo + bridge_limit(source.rate) + 1
    halo = -(-halo // plan.ratio.down) * plan.ratio.down
    first, last = max(0, start - halo), min(source.samples, stop + halo)
    window = source.read(first, last).signal[plan.rows]
    core = slice(start - first, stop - first)
    infinite = ~np.isfinite(window)
    if infinite.any():
        window[infinite] = np.nan
        for row, begin, end in bridge(window, source.rate, first == 0, last == source.samples):
            report.gap(plan.used[row], "bridged", max(start, begin + first), min(stop, end + first))
    inside = window[:, core]
    report.seen(plan.used, np.fmin.reduce(inside, axis=1), np.fmax.reduce(inside, axis=1))
    signal = resample(_fit_window(window, plan, report, core, first), *plan.rates)
    offset = plan.ratio.length(core.start)
    length = plan.ratio.length(stop) - plan.ratio.length(start)
    return np.ascontiguousarray(signal[:, offset : offset + length])


def _fit_window(window: np.ndarray, plan: Plan, report: Report, core: slice, first: int) -> np.ndarray:
    """The wanted leads of a window that starts at a sample of the record; reports on its core."""
    holes = np.isnan(window)
    fitted = np.zeros((len(plan.wanted), window.shape[1]), dtype=np.float32)
    for start, stop in _stretches(holes):
        present = np.flatnonzero(~holes[:, start])
        available = tuple(plan.used[row] for row in present)
        stretch = window[present, start:stop] if len(present) < len(window) else window[:, start:stop]
        inner = slice(max(start, core.start), min(stop, core.stop))
        for row, terms in enumerate(_terms(available, plan.wanted, plan.keep)):
            lead = plan.wanted[row]
            for weight, term in terms:
                fitted[row, start:stop] += (
                    stretch[term] if weight == 1 else np.float32(weight) * stretch[term]
                )
            if len(terms) > 1 and lead in available:
                report.change(lead, fitted[row, inner] - window[plan.used.index(lead), inner])
        for lead, repair in _repairs(plan, available):
            report.gap(lead, repair, inner.start + first, inner.stop + first)
    return fitted


def _stretches(holes: np.ndarray) -> list[tuple[int, int]]:
    """Stretches over which the same leads are missing."""
    if not holes.any():
        return [(0, holes.shape[1])]
    changes = (np.flatnonzero((holes[:, 1:] != holes[:, :-1]).any(axis=0)) + 1).tolist()
    return list(zip([0, *changes], [*changes, holes.shape[1]], strict=True))


@lru_cache(maxsize=1024)
def _terms(available: tuple[str, ...], wanted: tuple[str, ...], keep: bool) -> Terms:
    """The fit as (weight, lead) a row, whose sums, unlike a matrix product, don't depend on the length."""
    weights, _ = fit_leads(available, wanted, keep)
    return [[(float(row[i]), int(i)) for i in np.flatnonzero(row)] for row in weights]


def _repairs(plan: Plan, available: tuple[str, ...]) -> list[tuple[str, str]]:
    """What becomes of leads that are missing for a while, or whose sources are."""
    if len(available) == len(plan.used):
        return []
    _, lost = fit_leads(available, plan.wanted, plan.keep)
    repairs = [(lead, "set to 0 mV") for lead in lost if lead not in plan.lost]
    for lead in plan.used:
        if lead not in available and lead not in lost:
            repairs.append((lead, "derived from others" if lead in plan.wanted else "not fitted"))
    return repairs
