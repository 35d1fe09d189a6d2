"""Lead names, and leads as linear combinations of others (Einthoven 1912, Goldberger 1942)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from ecgvae.wording import plain, quote

LEADS_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
INDEPENDENT_8 = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")

# Limb leads as combinations of I and II.
LIMB = {
    "I": (1.0, 0.0),
    "II": (0.0, 1.0),
    "III": (-1.0, 1.0),
    "aVR": (-0.5, -0.5),
    "aVL": (1.0, -0.5),
    "aVF": (-0.5, 1.0),
}

_PREFIX = re.compile(r"^(?:(?:ecg|ekg|lead)[\s_:-]*)+(?=[a-z])", re.IGNORECASE)
# Monitoring leads (MLII of MIT-BIH), the Latin names (DII, D2) of the limb leads, the IEC names (C1) of chest leads.
_SYNONYMS = {f"{prefix}{name}": name for name in ("I", "II", "III") for prefix in ("ML", "D")}
_SYNONYMS |= {"D1": "I", "D2": "II", "D3": "III"} | {f"C{number}": f"V{number}" for number in range(1, 7)}
_STANDARD_NAMES = {name.upper(): name for name in LEADS_12} | _SYNONYMS


@lru_cache(maxsize=4096)
def canonical_lead(name: str) -> str:
    """The standard spelling of a lead name ("AVR", "lead ii", "MLII", "c1"); an unknown name keeps its spelling."""
    name = name.strip()
    return _STANDARD_NAMES.get(_PREFIX.sub("", name).upper(), name)


def parse_leads(text: str) -> tuple[str, ...]:
    """Lead names from "standard-12" or a comma-separated list; ValueError if there are none or one is repeated."""
    if text.strip().lower() == "standard-12":
        return LEADS_12
    leads = tuple(canonical_lead(name) for name in text.split(",") if name.strip())
    if not leads or len(set(leads)) < len(leads):
        raise ValueError(f"leads {quote(text)}; wanted standard-12 or different names like I,II,V1")
    return leads


def parse_lead_map(text: str) -> dict[str, str]:
    """Leads by channel name, from comma-separated NAME=LEAD pairs.

    Returns:
        Leads, in their standard spelling, by channel name.

    Raises:
        ValueError: A pair is incomplete, or a channel name occurs twice.

    Example:
        >>> parse_lead_map("MLII=II, ECG 1=v1")
        {'MLII': 'II', 'ECG 1': 'V1'}
    """
    pairs = [tuple(map(str.strip, item.split("="))) for item in text.split(",") if item.strip()]
    if not pairs or not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ValueError(f"lead map {quote(text)}; wanted NAME=LEAD pairs like MLII=II,C1=V1")
    names = [pair[0] for pair in pairs]
    if repeated := [name for index, name in enumerate(names) if name in names[:index]]:
        raise ValueError(f"lead map {quote(text)} has {plain(repeated[0])} more than once; wanted every name once")
    return standardize_lead_map({name: lead for name, lead in pairs})


def standardize_lead_map(lead_map: Mapping[str, str]) -> dict[str, str]:
    """A lead map with its leads in their standard spelling; ValueError if a key or value is not a name."""
    if not isinstance(lead_map, Mapping):
        raise ValueError(f"lead map {lead_map!r:.60}; wanted a dictionary like {{'MLII': 'II'}}")
    for name, lead in lead_map.items():
        if not (isinstance(name, str) and isinstance(lead, str) and name.strip() and lead.strip()):
            raise ValueError(f"lead map has {name!r:.60} for {lead!r:.60}; wanted names like 'MLII' for 'II'")
    return {name.strip(): canonical_lead(lead) for name, lead in lead_map.items()}


def mapped_lead(name: str, lead_map: Mapping[str, str]) -> str | None:
    """The lead of a channel name in a lead map; an exact match comes before one that differs in case."""
    name = name.strip()
    if name in lead_map:
        return lead_map[name]
    return next((lead for other, lead in lead_map.items() if other.lower() == name.lower()), None)


def lead_rows(names: Sequence[str], lead_map: Mapping[str, str] | None = None) -> dict[str, int]:
    """The row of each lead in a record, by the lead's standard name.

    If several channels have the same lead by their names, the first is used.

    Args:
        names: The names of the record's channels.
        lead_map: Leads by channel name.

    Raises:
        ValueError: The lead map gives a channel the lead of another channel.
    """
    leads = [mapped_lead(name, lead_map) if lead_map else None for name in names]
    mapped: dict[str, int] = {}
    for row, lead in enumerate(leads):
        if lead in mapped:
            both = f"{plain(names[mapped[lead]])} and {plain(names[row])}"
            raise ValueError(f"{both} are both mapped to {lead}; wanted one of them")
        if lead is not None:
            mapped[lead] = row
    for name, lead in zip(names, leads, strict=True):
        if lead is None and canonical_lead(name) in mapped:
            other = plain(names[mapped[canonical_lead(name)]])
            raise ValueError(f"{other} is mapped to {canonical_lead(name)}, which {plain(name)} is; wanted one of them")
    return {leads[row] or canonical_lead(names[row]): row for row in reversed(range(len(names)))} | mapped


def unused_channels(names: Sequence[str], rows: Mapping[str, int], used: Sequence[str]) -> tuple[str, ...]:
    """The channels that are not among the used leads; of two channels with one lead, the second is a duplicate.

    Args:
        names: The names of a record's channels.
        rows: The row of each lead, as from `lead_rows`.
        used: The leads that are used.
    """
    used_rows, lead_of_row = {rows[lead] for lead in used}, {row: lead for lead, row in rows.items()}
    return tuple(name if row in lead_of_row else f"{name} (a duplicate)"
                 for row, name in enumerate(names) if row not in used_rows)


def check_lead_map(channels: Iterable[tuple[str, Sequence[str]]], lead_map: Mapping[str, str]) -> None:
    """Raises ValueError if a lead map applies to no channel of any record.

    Args:
        channels: Name and channel names of each record; read only up to the first one to which the map applies.
        lead_map: Leads by channel name.
    """
    first = ""
    for record, names in channels:
        if any(mapped_lead(name, lead_map) is not None for name in names):
            return
        first = first or f"; the first, {record}, has {', '.join(names)}"
    if first:
        raise ValueError(f"no record has a channel {', '.join(lead_map)}, which the lead map names{first}")


def independent_leads(leads: Sequence[str]) -> tuple[str, ...]:
    """The leads that a model codes: without those that follow from I and II, if both are present."""
    if set(leads) == set(LEADS_12):
        return INDEPENDENT_8
    if not {"I", "II"} <= set(leads):
        return tuple(leads)
    return tuple(lead for lead in leads if lead in ("I", "II") or lead not in LIMB)


def _basis(leads: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Leads (rows) in the basis I, II, others (columns)."""
    matrix = np.zeros((len(leads), 2 + len(others)))
    for row, lead in enumerate(leads):
        if lead in LIMB:
            matrix[row, :2] = LIMB[lead]
        elif lead in others:
            matrix[row, 2 + others.index(lead)] = 1
    return matrix


@lru_cache(maxsize=1024)
def fit_leads(
    leads: tuple[str, ...], wanted: tuple[str, ...], keep: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Least-squares estimate of the wanted leads from the available ones.

    Args:
        leads: Available leads, in their standard spelling.
        wanted: Leads to estimate.
        keep: Whether wanted leads that are available stay unchanged, even if the fit would change them.

    Returns:
        The matrix (wanted, leads) float64, and the wanted leads that are undetermined, whose rows are zero.
    """
    others = tuple(dict.fromkeys(lead for lead in (*leads, *wanted) if lead not in LIMB))
    available, target = _basis(leads, others), _basis(wanted, others)
    weights = target @ np.linalg.pinv(available)
    weights[np.abs(weights) < 1e-12] = 0
    undetermined = np.abs(weights @ available - target).max(axis=1, initial=0) > 1e-9
    weights[undetermined] = 0
    for row, lead in enumerate(wanted):
        if keep and lead in leads:
            weights[row] = [lead == other for other in leads]
    weights.flags.writeable = False
    return weights, tuple(lead for lead, unknown in zip(wanted, undetermined, strict=True) if unknown)


def lead_expansion(leads: tuple[str, ...], coded: tuple[str, ...]) -> np.ndarray:
    """The matrix (leads, coded) of all leads from the coded ones: signal = expansion @ coded.

    Raises:
        ValueError: A lead does not follow from the coded ones.
    """
    matrix, undetermined = fit_leads(coded, leads, keep=True)
    if undetermined:
        raise ValueError(f"{', '.join(undetermined)} can't be derived from {', '.join(coded)}")
    return matrix
