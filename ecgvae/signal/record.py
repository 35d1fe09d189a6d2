"""An ECG in memory, and the contract a model makes about the ECG it wants."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ecgvae.signal.leads import LEADS_12, canonical_lead, independent_leads, lead_expansion


@dataclass(frozen=True, eq=False)
class Record:
    """An ECG: signal (c, t) float32 in mV (NaN where missing), its rate in Hz and its leads by name."""

    signal: np.ndarray
    rate: float
    leads: tuple[str, ...]
    name: str = "record"
    comments: tuple[str, ...] = ()
    skipped_channels: tuple[str, ...] = ()  # channels of the file that are no voltages, as "ABP (mmHg)"

    def __post_init__(self) -> None:
        signal = np.asarray(self.signal, dtype=np.float32)
        leads = tuple(self.leads)
        if signal.ndim != 2 or signal.shape[0] != len(leads):
            raise ValueError(f"{self.name} has a signal {signal.shape}; wanted ({len(leads)} leads, samples)")
        if len(set(leads)) < len(leads):
            raise ValueError(f"{self.name} has leads {', '.join(leads)}; wanted every name once")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise ValueError(f"{self.name} has a rate of {self.rate} Hz; wanted more than 0")
        fields = {
            "signal": signal,
            "rate": float(self.rate),
            "leads": leads,
            "comments": tuple(self.comments),
            "skipped_channels": tuple(self.skipped_channels),
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def samples(self) -> int:
        return self.signal.shape[1]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.rate

    def select(self, leads: Sequence[str]) -> "Record":
        """The record with these leads in this order, matched by name."""
        rows = {canonical_lead(lead): row for row, lead in reversed(list(enumerate(self.leads)))}
        rows |= {lead: row for row, lead in enumerate(self.leads)}
        wanted = [lead if lead in rows else canonical_lead(lead) for lead in leads]
        if not rows.keys() >= set(wanted):
            raise ValueError(f"{self.name} has leads {', '.join(self.leads)}; wanted {', '.join(leads)}")
        return replace(self, signal=self.signal[[rows[lead] for lead in wanted]], leads=tuple(leads))

    def read(self, start: int = 0, stop: int | None = None) -> "Record":
        """The samples from start to stop, so that a record in memory can stand where a file is read."""
        return replace(self, signal=self.signal[:, start:stop])


class SignalSpec(BaseModel):
    """What a model takes and gives: leads, rate in Hz, unit, and millivolts per model unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    leads: tuple[str, ...] = Field(LEADS_12, min_length=1)
    rate: float = Field(100, gt=0, allow_inf_nan=False)
    unit: Literal["mV"] = "mV"
    scale: float = Field(1.0, gt=0, allow_inf_nan=False)
    filters: tuple[str, ...] = Field((), max_length=0)  # none are known yet

    @field_validator("leads")
    @classmethod
    def _unique(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        leads = tuple(canonical_lead(lead) for lead in leads)
        if len(set(leads)) < len(leads):
            raise ValueError(f"leads {', '.join(leads)}; wanted every name once")
        return leads

    @property
    def coded(self) -> tuple[str, ...]:
        """The independent leads, which the model codes."""
        return independent_leads(self.leads)

    @property
    def expansion(self) -> np.ndarray:
        """The matrix (leads, coded) that gives all leads from the coded ones."""
        return lead_expansion(self.leads, self.coded)
