"""Lead names and lead algebra: which leads follow from which (Einthoven 1912, Goldberger 1942)."""

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

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
# Monitoring leads (MLII of MIT-BIH) and the Latin names (DII, D2) of the limb leads.
_SYNONYMS = {f"{prefix}{name}": name for name in ("I", "II", "III") for prefix in ("ML", "D")}
_SYNONYMS |= {"D1": "I", "D2": "II", "D3": "III"}
_KNOWN = {name.upper(): name for name in LEADS_12} | _SYNONYMS


@lru_cache(maxsize=4096)
def canonical_lead(name: str) -> str:
    """The standard spelling of a lead name ("AVR", "lead ii", "MLII"); unknown names are only stripped."""
    name = name.strip()
    return _KNOWN.get(_PREFIX.sub("", name).upper(), name)


def parse_leads(text: str) -> tuple[str, ...]:
    """Lead names from "standard-12" or a comma-separated list."""
    if text.strip().lower() == "standard-12":
        return LEADS_12
    leads = tuple(canonical_lead(name) for name in text.split(",") if name.strip())
    if not leads or len(set(leads)) < len(leads):
        raise ValueError(f"leads {text!r}; wanted standard-12 or different names like I,II,V1")
    return leads


def independent_leads(leads: Sequence[str]) -> tuple[str, ...]:
    """The leads a model has to code: without those that follow from I and II where both are there."""
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
    """Least-squares estimate of the wanted leads from those at hand, and the wanted ones it can't determine.

    The matrix is (wanted, leads) float64; rows of undetermined leads are zero.
    With keep a wanted lead that is at hand stays as it is.
    """
    others = tuple(dict.fromkeys(lead for lead in (*leads, *wanted) if lead not in LIMB))
    have, want = _basis(leads, others), _basis(wanted, others)
    weights = want @ np.linalg.pinv(have)
    weights[np.abs(weights) < 1e-12] = 0
    lost = np.abs(weights @ have - want).max(axis=1, initial=0) > 1e-9
    weights[lost] = 0
    for row, lead in enumerate(wanted):
        if keep and lead in leads:
            weights[row] = [lead == other for other in leads]
    weights.flags.writeable = False
    return weights, tuple(lead for lead, gone in zip(wanted, lost, strict=True) if gone)


def lead_expansion(leads: tuple[str, ...], coded: tuple[str, ...]) -> np.ndarray:
    """The matrix (leads, coded) that gives all leads from the coded ones: signal = expansion @ coded."""
    matrix, lost = fit_leads(coded, leads, keep=True)
    if lost:
        raise ValueError(f"{', '.join(lost)} can't be derived from {', '.join(coded)}")
    return matrix
