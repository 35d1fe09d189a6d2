"""The leads, rate and windows of a store, and checks of these options."""

import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgvae.signal import LEADS_12, canonical_lead, parse_leads
from ecgvae.signal.conform import Missing
from ecgvae.signal.record import is_positive


@dataclass(frozen=True)
class Layout:
    """Options for all records of a store.

    Attributes:
        leads: The leads of the store.
        rate: Sampling rate in Hz.
        window: Length in seconds of the windows into which records are cut; None for whole records.
        missing: "error" skips a record that lacks a lead; "zero" sets the lead to 0 mV.
        lead_map: Leads by channel name.
        comments: Whether the store keeps the comments of headers.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
    """

    leads: tuple[str, ...] = LEADS_12
    rate: float = 100
    window: float | None = None
    missing: Missing = "error"
    lead_map: dict[str, str] | None = None
    comments: bool = True
    any_amplitude: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.rate, int | np.integer | np.floating) and is_positive(self.rate):
            object.__setattr__(self, "rate", float(self.rate))
        if isinstance(self.window, np.generic):
            object.__setattr__(self, "window", self.window.item())
        if not is_positive(self.rate):
            raise ValueError(f"a rate of {self.rate!r:.60} Hz; wanted a number above 0")
        if not self.leads or len(set(self.leads)) < len(self.leads):
            raise ValueError(f"leads {', '.join(self.leads)}; wanted one or more, each once")
        if self.missing not in ("error", "zero"):
            raise ValueError(f"missing leads {self.missing!r:.60}; wanted error or zero")
        if not isinstance(self.comments, bool):
            raise ValueError(f"comments={self.comments!r:.60}; wanted True or False")
        if self.window is not None and not (is_positive(self.window) and 1 <= self.window * self.rate < math.inf):
            raise ValueError(f"a window of {self.window!r:.60} s at {self.rate:g} Hz; wanted at least one sample, "
                             "and a finite number of them")

    @property
    def window_samples(self) -> int | None:
        """Length of a window in samples of the store."""
        return None if self.window is None else round(self.window * self.rate)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The options as values for JSON; options of later versions only if they are given."""
        later = {"lead_map": not self.lead_map, "comments": self.comments, "any_amplitude": not self.any_amplitude}
        return {name: value for name, value in asdict(self).items() if not later.get(name)}


def as_path(path: str | Path, role: str) -> Path:
    """The value as a path; ValueError if it is not one. The message has the role, such as "source"."""
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ValueError(f"the {role} is {path!r:.60}; wanted a path")
    return Path(path)


def as_leads(leads: str | Iterable[str]) -> tuple[str, ...]:
    """Leads in their standard spelling, from names or a text for `parse_leads`."""
    if isinstance(leads, str):
        return parse_leads(leads)
    names = tuple(leads) if isinstance(leads, Iterable) else None
    if names is None or not all(isinstance(name, str) for name in names):
        raise ValueError(f"leads {leads!r:.60}; wanted names like I, II, V1")
    return tuple(canonical_lead(name) for name in names)
