"""Conversion of records to a model's input: leads by name, without gaps, fitted to the coded leads, resampled."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from ecgvae.signal.generated import generated_note
from ecgvae.signal.leads import LIMB, fit_leads, lead_rows, standardize_lead_map, unused_channels
from ecgvae.signal.reading import RecordFile
from ecgvae.signal.record import Record, SignalSpec
from ecgvae.signal.repairs import Report, bridge, bridge_limit, unused_note
from ecgvae.signal.resample import Ratio, check_upsampling, ratio, resample
from ecgvae.wording import listed, plain

Missing = Literal["error", "zero"]
LeadMap = Mapping[str, str]
Terms = list[list[tuple[float, int]]]


@dataclass(frozen=True, eq=False)
class Conformed:
    """A model's input: signal (c, t) float32 in mV at the model's rate.

    The notes say what was repaired, resampled, not used, or invented by a model before.
    """

    signal: np.ndarray
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        leads, samples = self.signal.shape
        return f"Conformed({leads} leads, {samples} samples, {len(self.notes)} notes)"


def conform(record: Record, spec: SignalSpec, missing: Missing = "error", refit: bool = True,
            lead_map: LeadMap | None = None) -> Conformed:
    """Brings a record to the leads and the rate of a spec.

    Gaps of at most 0.2 s are bridged. In a longer gap a limb lead is derived from others, any other lead is 0 mV.

    Args:
        record: The record.
        spec: The leads and the rate.
        missing: "error" refuses a record that lacks a lead; "zero" sets the lead to 0 mV.
        refit: True gives the coded leads of the spec, fitted by least squares; False gives all its leads unchanged.
        lead_map: Leads by channel name, for channels that are not named after their leads.

    Raises:
        ValueError: A lead is missing, the record has no samples or less than 20 samples a second to be upsampled, or
            an option is unknown.
    """
    (block,) = conform_stream(record, spec, missing, math.inf, refit, lead_map)
    return block


def conform_stream(
    source: Record | RecordFile,
    spec: SignalSpec,
    missing: Missing = "error",
    seconds: float = 600.0,
    refit: bool = True,
    lead_map: LeadMap | None = None,
) -> Iterator[Conformed]:
    """Conforms a record block by block; the blocks end to end equal `conform` of the whole record.

    The last block has the notes for the whole record.

    Args:
        source: The record, or the file from which blocks are read.
        seconds: Approximate length of a block.
        spec, missing, refit, lead_map: As for `conform`.

    Raises:
        ValueError: As for `conform`, or `seconds` is not above 0.
    """
    if not isinstance(seconds, int | float) or not seconds > 0:
        raise ValueError(f"blocks of {seconds!r:.60} s; wanted more than 0")
    plan = _plan(source, spec, missing, refit, standardize_lead_map(lead_map or {}))
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
    """Which channels of a record are used, and which leads are computed from them."""

    rows: list[int]  # of the used leads in the record
    used: tuple[str, ...]
    wanted: tuple[str, ...]
    undetermined: tuple[str, ...]  # wanted leads that do not follow from the used ones
    keep: bool  # wanted leads that are present are not changed by the fit
    invented: tuple[str, ...]  # used leads that a model made up
    rates: tuple[float, float]  # of the record and of the model, in Hz
    ratio: Ratio
    unused: tuple[str, ...]  # channels that are not used, as they are named in a note
    generated: str | None  # a note that the record is generated

    @property
    def notes(self) -> tuple[str, ...]:
        """A note for each lead that is missing in the whole record or made up by a model.

        Also one if the record is generated, one if it is resampled, and one if some of its channels are not used.
        """
        derived = [lead for lead in self.wanted if lead not in (*self.used, *self.undetermined)]
        return (
            *([self.generated] if self.generated else []),
            *self._resampling,
            *(f"{lead} is missing, set to 0 mV" for lead in self.undetermined),
            *(f"{lead} is missing, derived from others" for lead in derived),
            *(f"{lead} is invented by a model" for lead in self.invented),
            *unused_note(self.unused),
        )

    @property
    def _resampling(self) -> tuple[str, ...]:
        """A note if the rates differ."""
        if self.ratio.up == self.ratio.down:
            return ()
        source, target = self.rates
        if source > target:
            return (f"resampled from {source:g} Hz to {target:g} Hz",)
        return (f"upsampled from {source:g} Hz to {target:g} Hz: nothing above {source / 2:g} Hz",)


def _plan(source: Record | RecordFile, spec: SignalSpec, missing: Missing, refit: bool, lead_map: LeadMap) -> Plan:
    if missing not in ("error", "zero"):
        raise ValueError(f"missing={missing!r}; wanted error or zero")
    if not source.samples:
        raise ValueError(f"{plain(source.name)} has no samples")
    wanted = spec.coded if refit else spec.leads
    useful = {*wanted, *(LIMB if any(lead in LIMB for lead in wanted) else ())}
    try:
        rows = lead_rows(source.leads, lead_map)
    except ValueError as error:
        raise ValueError(f"{plain(source.name)}: {error}") from None
    used = tuple(lead for lead in rows if lead in useful)
    keep = not refit or len(spec.coded) == len(spec.leads)
    _, undetermined = fit_leads(used, wanted, keep)
    if undetermined and (missing == "error" or len(undetermined) == len(wanted)):
        leads = listed(source.leads) + "".join(f" (skipped: {plain(channel)})" for channel in source.skipped_channels)
        raise ValueError(f"{plain(source.name)} has leads {leads}; wanted {', '.join(wanted)}")
    invented = tuple(lead for lead in used if source.leads[rows[lead]] in source.invented_leads)
    rates = source.rate, spec.rate
    check_upsampling(source.name, *rates)
    unused = (*unused_channels(source.leads, rows, used), *source.skipped_channels)
    return Plan([rows[lead] for lead in used], used, wanted, undetermined, keep, invented, rates, ratio(*rates), unused,
                generated_note(source.comments))


def recorded_leads(record: Record | RecordFile, leads: Sequence[str], lead_map: LeadMap | None = None
                   ) -> tuple[str, ...]:
    """The leads among `leads` that a record has as channels, without those that a model invented.

    Args:
        record: The record.
        leads: Leads in their standard spelling, such as those of a model.
        lead_map: Leads by channel name, for channels that are not named after their leads.

    Raises:
        ValueError: The lead map gives a channel the lead of another channel.
    """
    rows = lead_rows(record.leads, standardize_lead_map(lead_map or {}))
    return tuple(lead for lead in leads if lead in rows and record.leads[rows[lead]] not in record.invented_leads)


def _block(source: Record | RecordFile, plan: Plan, report: Report, start: int, stop: int) -> np.ndarray:
    """The samples from start to stop, computed from a window with all samples on each side that affect them."""
    halo = plan.ratio.halo + bridge_limit(source.rate) + 1
    halo = -(-halo // plan.ratio.down) * plan.ratio.down
    first, last = max(0, start - halo), min(source.samples, stop + halo)
    window = source.read(first, last).signal[plan.rows]
    core = slice(start - first, stop - first)
    invalid = ~np.isfinite(window)
    if invalid.any():
        window[invalid] = np.nan
        for row, begin, end in bridge(window, source.rate, first == 0, last == source.samples):
            report.add_gap(plan.used[row], "bridged", max(start, begin + first), min(stop, end + first))
    block = window[:, core]
    report.add_ranges(plan.used, np.fmin.reduce(block, axis=1), np.fmax.reduce(block, axis=1))
    signal = resample(_fit_window(window, plan, report, core, first), *plan.rates)
    offset = plan.ratio.length(core.start)
    length = plan.ratio.length(stop) - plan.ratio.length(start)
    return np.ascontiguousarray(signal[:, offset : offset + length])


def _fit_window(window: np.ndarray, plan: Plan, report: Report, core: slice, first: int) -> np.ndarray:
    """The wanted leads of a window that begins at sample `first` of the record.

    The report gets the repairs in the window's core, which is the part without the samples around it.
    """
    is_missing = np.isnan(window)
    fitted = np.zeros((len(plan.wanted), window.shape[1]), dtype=np.float32)
    for start, stop in _intervals(is_missing):
        present = np.flatnonzero(~is_missing[:, start])
        available = tuple(plan.used[row] for row in present)
        interval = window[present, start:stop] if len(present) < len(window) else window[:, start:stop]
        inner = slice(max(start, core.start), min(stop, core.stop))
        for row, terms in enumerate(_terms(available, plan.wanted, plan.keep)):
            lead = plan.wanted[row]
            for weight, term in terms:
                fitted[row, start:stop] += interval[term] if weight == 1 else np.float32(weight) * interval[term]
            if len(terms) > 1 and lead in available:
                report.add_change(lead, fitted[row, inner] - window[plan.used.index(lead), inner])
        for lead, repair in _repairs(plan, available):
            report.add_gap(lead, repair, inner.start + first, inner.stop + first)
    return fitted


def _intervals(is_missing: np.ndarray) -> list[tuple[int, int]]:
    """Intervals, as (start, stop), over which the same leads are missing; from a mask (c, t)."""
    samples = is_missing.shape[1]
    if not is_missing.any():
        return [(0, samples)]
    changes = (np.flatnonzero((is_missing[:, 1:] != is_missing[:, :-1]).any(axis=0)) + 1).tolist()
    return list(zip([0, *changes], [*changes, samples], strict=True))


@lru_cache(maxsize=1024)
def _terms(available: tuple[str, ...], wanted: tuple[str, ...], keep: bool) -> Terms:
    """The fit as a list of (weight, index of an available lead) for each wanted lead.

    Unlike a matrix product, a sum over such terms is rounded alike for every length of the signal.
    """
    weights, _ = fit_leads(available, wanted, keep)
    return [[(float(row[i]), int(i)) for i in np.flatnonzero(row)] for row in weights]


def _repairs(plan: Plan, available: tuple[str, ...]) -> list[tuple[str, str]]:
    """(lead, repair) of each lead that is missing, or can't be computed, in an interval with these leads."""
    if len(available) == len(plan.used):
        return []
    _, undetermined = fit_leads(available, plan.wanted, plan.keep)
    repairs = [(lead, "set to 0 mV") for lead in undetermined if lead not in plan.undetermined]
    for lead in plan.used:
        if lead not in available and lead not in undetermined:
            repairs.append((lead, "derived from others" if lead in plan.wanted else "not fitted"))
    return repairs
