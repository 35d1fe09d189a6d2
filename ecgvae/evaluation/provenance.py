"""Facts about the records of a store that a reader of a report must know: leads that were not there, and rates."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecgvae.data.store import Store
from ecgvae.models import Autoencoder
from ecgvae.signal import canonical_lead, fit_leads

ABSENT = re.compile(r"(.+) is missing, set to 0 mV")     # a note of `conform`


def describe_rows(model: Autoencoder, store: Store, rows: np.ndarray) -> dict[str, Any]:
    """Facts about the rows of a store that a model is measured on.

    Returns:
        `store_rate` and `model_rate` in Hz. `source_rates`: the number of records by the rate in Hz that they had
        before they were prepared. `missing_leads`: by lead, the number of records that lack it. Their errors do not
        count. `records_with_missing_leads`: the number of records that lack a lead or more.
    """
    present, leads = present_leads(store, rows, model.signal.leads), model.signal.leads
    rates = Counter(store.records["rate"].iloc[rows].tolist()) if "rate" in store.records else Counter()
    return {"store_rate": store.rate, "model_rate": model.signal.rate,
            "source_rates": {f"{rate:g}": count for rate, count in sorted(rates.items())},
            "missing_leads": {lead: int(count) for lead, count in zip(leads, (~present).sum(0), strict=True) if count},
            "records_with_missing_leads": int((~present).any(axis=1).sum())}


def present_leads(store: Store, rows: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """A mask (rows, leads): whether each record had each lead, or leads from which it follows.

    A store says so in its column `source_leads`, or, if it is of an earlier version, in the notes of its records.
    """
    table, wanted = store.records, tuple(leads)
    unknown = [None] * len(rows)
    sources = table["source_leads"].iloc[rows] if "source_leads" in table else unknown
    notes = table["notes"].iloc[rows] if "notes" in table else unknown
    absent = [absent_leads(source, note, wanted) for source, note in zip(sources, notes, strict=True)]
    return np.array([[lead not in missing for lead in wanted] for missing in absent], bool)


def absent_leads(source: Any, notes: Any, wanted: tuple[str, ...]) -> set[str]:
    """The wanted leads that a record lacked, by its leads if they are known, else by its notes."""
    if source is not None and len(source):
        return set(fit_leads(tuple(dict.fromkeys(map(canonical_lead, source))), wanted, True)[1])
    matches = [ABSENT.fullmatch(note) for note in ([] if notes is None else notes)]
    return {match[1] for match in matches if match}
