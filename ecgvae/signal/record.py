"""An ECG in memory, and the specification of a model's signal."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator

from ecgvae.settings import Settings
from ecgvae.signal.leads import LEADS_12, canonical_lead, independent_leads, lead_expansion, lead_rows
from ecgvae.signal.start_time import StartTime, is_start_time, later
from ecgvae.wording import count, listed, plain, quote

MICROVOLTS_PER_MV = 1000
MAX_LISTED_LEADS = 12
MAX_LEADS = 256             # of a model; body surface maps have as many
MAX_RATE = 100_000.0        # Hz, of a model


def check_finite(signal: np.ndarray, name: str) -> None:
    """Raises ValueError if a signal holds infinity; NaN is a missing sample."""
    if np.isinf(signal).any():
        raise ValueError(f"{plain(name)} holds infinite numbers; wanted mV, with NaN for missing samples")


@dataclass(frozen=True, eq=False)
class Record:
    """An ECG: its signal in millivolts, its sampling rate and the names of its leads.

    Args:
        signal: Samples (c, t) in mV, NaN where missing; kept as float32.
        rate: Sampling rate in Hz.
        leads: The name of each row of the signal.
        name: The record's name, which may be a relative path.
        comments: Lines of text that go with the record, such as those of a WFDB header.
        skipped_channels: Channels of the file that are not voltages, as "ABP (mmHg)".
        start_time: Date and time of the first sample, or only its time of day.
        invented_leads: Leads that were not recorded and do not follow from the recorded ones, but that a model made up.

    Raises:
        ValueError: The signal is not an array of numbers (c, t), the rate is not above 0, or the leads are not
            one different name for each row.

    Example:
        >>> Record(np.zeros((2, 1000)), rate=500, leads=("I", "II"), name="rest")
        Record('rest', 2 leads, 2 s at 500 Hz)
    """

    signal: np.ndarray
    rate: float
    leads: tuple[str, ...]
    name: str = "record"
    comments: tuple[str, ...] = ()
    skipped_channels: tuple[str, ...] = ()
    start_time: StartTime = None
    invented_leads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"a record's name is {quote(self.name)}; wanted a text")
        name = plain(self.name)
        leads = _texts(name, "leads", self.leads)
        signal = as_signal(self.signal, name)
        if signal.ndim != 2 or signal.shape[0] != len(leads):
            raise ValueError(f"{name} has a signal {signal.shape}; wanted ({len(leads)} leads, samples)")
        if len(set(leads)) < len(leads):
            raise ValueError(f"{name} has leads {listed(leads)}; wanted every name once")
        if not is_positive(self.rate):
            raise ValueError(f"{name} has a rate of {quote(self.rate)} Hz; wanted a number above 0")
        if not is_start_time(self.start_time):
            raise ValueError(f"{name} has the start time {quote(self.start_time)}; wanted a datetime or a time "
                             "without a time zone")
        fields = {
            "signal": signal,
            "rate": float(self.rate),
            "leads": leads,
            "comments": _texts(name, "comments", self.comments),
            "skipped_channels": _texts(name, "skipped channels", self.skipped_channels),
            "invented_leads": _texts(name, "invented leads", self.invented_leads),
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"Record({self.name!r}, {extent(len(self.leads), self.duration, self.rate)})"

    @property
    def samples(self) -> int:
        return self.signal.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.rate

    def select(self, leads: Sequence[str]) -> "Record":
        """The record with the given leads in their order, matched by name; ValueError if it lacks one."""
        rows = lead_rows(self.leads) | {lead: row for row, lead in enumerate(self.leads)}
        names = [lead if lead in rows else canonical_lead(lead) for lead in leads]
        if not rows.keys() >= set(names):
            raise ValueError(f"{plain(self.name)} has leads {listed(self.leads)}; wanted {listed(leads)}")
        chosen = [rows[lead] for lead in names]
        invented = tuple(lead for lead, row in zip(leads, chosen, strict=True)
                         if self.leads[row] in self.invented_leads)
        return replace(self, signal=self.signal[chosen], leads=tuple(leads), invented_leads=invented)

    def read(self, start: int = 0, stop: int | None = None) -> "Record":
        """The part from sample `start` to `stop`, like `RecordFile.read`."""
        first, _, _ = slice(start, stop).indices(self.samples)
        return replace(self, signal=self.signal[:, start:stop],
                       start_time=later(self.start_time, first / self.rate))


class SignalSpec(Settings):
    """A model's input and output signal.

    Attributes:
        leads: Lead names in order.
        rate: Sampling rate in Hz.
        unit: Unit of the signal.
        scale: Millivolts per unit inside the model.
        filters: Filters of the signal; none is defined yet.
    """

    leads: tuple[str, ...] = Field(default=LEADS_12, min_length=1, max_length=MAX_LEADS)
    rate: float = Field(default=100, ge=1, le=MAX_RATE)
    unit: Literal["mV"] = "mV"
    scale: float = Field(default=1.0, ge=1e-6, le=1e6)
    filters: tuple[str, ...] = Field(default=(), max_length=0)

    @field_validator("leads")
    @classmethod
    def _unique(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        leads = tuple(canonical_lead(lead) for lead in leads)
        if len(set(leads)) < len(leads):
            raise ValueError(f"leads {', '.join(leads)}; wanted every name once")
        return leads

    def __repr__(self) -> str:
        listed = len(self.leads) <= MAX_LISTED_LEADS
        leads = ", ".join(self.leads) if listed else count(len(self.leads), "lead")
        return f"SignalSpec({leads} at {self.rate:g} Hz in {self.unit}, scale {self.scale:g})"

    @property
    def coded(self) -> tuple[str, ...]:
        """The independent leads, which are the channels of the model."""
        return independent_leads(self.leads)

    @property
    def expansion(self) -> np.ndarray:
        """The matrix (leads, coded) of all leads from the coded ones."""
        return lead_expansion(self.leads, self.coded)


def is_positive(value: object) -> bool:
    """Whether a value is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return 0 < float(value) < math.inf
    except OverflowError:       # of a whole number beyond all floats
        return False


def as_signal(values: ArrayLike, name: str = "the signal") -> np.ndarray:
    """Real numbers as a float32 array, with NaN where a masked array is masked; ValueError for anything else."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # such as for rows of different lengths or a tensor on a GPU
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        kind = type(values).__name__ if array.dtype.kind == "O" else array.dtype
        raise ValueError(f"{name} has samples of type {kind}; wanted an array of real numbers")
    with np.errstate(over="ignore"):
        signal = array.astype(np.float32, copy=False)
    return np.where(values.mask, np.float32(np.nan), signal) if isinstance(values, np.ma.MaskedArray) else signal


def extent(leads: int, seconds: float, rate: float) -> str:
    """The number of leads, the length and the rate of a record, as text."""
    return f"{count(leads, 'lead')}, {seconds:g} s at {rate:g} Hz"


def _texts(record: str, field: str, values: Sequence[str]) -> tuple[str, ...]:
    """The values as a tuple; ValueError if they are not strings, or a single string, or a set, which has no order."""
    texts = None if isinstance(values, str | set | frozenset) or not isinstance(values, Iterable) else tuple(values)
    if texts is None or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{record} has {field} {quote(values)}; wanted a list of texts")
    return texts
