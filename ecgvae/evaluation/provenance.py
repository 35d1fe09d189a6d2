"""Facts about the records of a store that a reader of a report must know: seen in training, absent leads, rates."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgvae import checkpoint
from ecgvae.data.fingerprints import SEGMENT_SECONDS, TrainingRecords
from ecgvae.data.store import Store
from ecgvae.data.training_data import COMPARED_SECONDS
from ecgvae.evaluation.pieces import Piece, conform_piece, read_piece
from ecgvae.signal import SignalSpec, fit_leads


def describe_data(model: str | Path, signal: SignalSpec, store: Store, split: str, rows: np.ndarray) -> dict[str, Any]:
    """Facts for a report on the rows of a split of a store.

    Args:
        model: The model: a shipped name or a folder.
        signal: Its signal.
        store: The records.
        split: The name of the split.
        rows: Its rows.

    Returns:
        `model`, its `identity`, `store`, `split`, the store's `fingerprint`, `records`, and those of `describe_rows`.
    """
    return {"model": checkpoint.model_name(model), "identity": checkpoint.identity(model),
            "store": str(store.path), "split": split, "fingerprint": store.fingerprint, "records": len(rows),
            **describe_rows(signal, store, rows, checkpoint.training_records(model))}


def describe_rows(signal: SignalSpec, store: Store, rows: np.ndarray,
                  trained_on: TrainingRecords | None = None) -> dict[str, Any]:
    """Facts about the rows of a store that a model is measured on.

    Args:
        signal: The model's signal.
        store: The records.
        rows: The rows.
        trained_on: The model's training records, see `checkpoint.training_records`.

    Returns:
        `seen_in_training`: see `count_seen`. `too_short_to_recognize`: the number of records of less than 5 s, which
        are recognized only if they were as short in training. `store_rate` and `model_rate` in Hz. `source_rates`: the
        number of records by the rate in Hz that they had before they were prepared. `missing_leads`: by lead, the
        number of records that lack it, whose errors do not count. `records_with_missing_leads`: the number of those.
        `derived_leads`: leads that the store lacks and that follow from its others.
    """
    present = present_leads(store, rows, signal.leads)
    rates = Counter(store.records["rate"].iloc[rows].tolist()) if "rate" in store.records else Counter()
    absent = zip(signal.leads, (~present).sum(axis=0), strict=True)
    return {"seen_in_training": count_seen(trained_on, store, rows, signal),
            "too_short_to_recognize": int((store.spans[rows, 1] < SEGMENT_SECONDS * store.rate).sum()),
            "store_rate": store.rate, "model_rate": signal.rate,
            "source_rates": {f"{rate:g}": count for rate, count in sorted(rates.items())},
            "missing_leads": {lead: int(count) for lead, count in absent if count},
            "records_with_missing_leads": int((~present).any(axis=1).sum()),
            "derived_leads": [lead for lead in signal.leads if lead not in store.leads]}


def count_seen(trained_on: TrainingRecords | None, store: Store, rows: np.ndarray, signal: SignalSpec) -> int | None:
    """The number of rows that a model was trained on; None if its training records are unknown."""
    if trained_on is None:
        return None
    return sum(trained_on.include(row_start(store, int(row), signal), signal.rate) for row in rows)


def row_start(store: Store, row: int, signal: SignalSpec) -> np.ndarray:
    """The start of a row, as a model with this signal gets it: coded leads (c, t) in mV."""
    samples = min(int(store.spans[row, 1]), round(COMPARED_SECONDS * store.rate))
    return conform_piece(store, row, read_piece(store, row, Piece(0, 0, samples, samples)), signal)


def present_leads(store: Store, rows: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """A mask (rows, leads): whether each record had each lead, or leads from which it follows."""
    absent = [fit_leads(store.source_leads(int(row)), tuple(leads), True)[1] for row in rows]
    return np.array([[lead not in missing for lead in leads] for missing in absent], bool)
