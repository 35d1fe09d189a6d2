"""Training, validation and test parts of a store: from its table of records, or at random."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.data.table import SPLITS, split_name

if TYPE_CHECKING:
    import pandas


def table_splits(records: "pandas.DataFrame") -> list[str | None] | None:
    """The split of every row by the column `split`; None if there is no such column.

    Stores of earlier versions may have a column of that name with other values; it is ignored.
    """
    if "split" not in records:
        return None
    try:
        values = records["split"].astype("string").fillna("")
        splits = [split_name(value, name) for value, name in zip(values, records["name"], strict=True)]
    except (ValueError, TypeError):
        return None
    return splits if any(splits) else None


def table_folds(records: "pandas.DataFrame") -> np.ndarray | None:
    """The fold of every row by the column `fold`, 0 where it is missing; None if there is no such column.

    Raises:
        ValueError: A fold is not a whole number.
    """
    import pandas

    if "fold" not in records:
        return None
    try:
        folds = pandas.to_numeric(records["fold"]).astype("Float64").fillna(0).to_numpy(float)
    except (ValueError, TypeError, OverflowError):
        folds = np.array([np.nan])
    if not (np.isfinite(folds) & (np.rint(folds) == folds)).all():
        raise ValueError("folds that are not whole numbers; wanted 1 to 10")
    return np.where((folds >= 1) & (folds <= 10), folds, 0).astype(int)


def patients(records: "pandas.DataFrame") -> list[str]:
    """The patient of every row, or its record if the patient is unknown; all rows of a patient are in one split.

    Raises:
        ValueError: A patient is neither a number nor a text.
    """
    names = records["name"].tolist()
    if "patient" not in records:
        return names
    try:
        return records["patient"].astype("string").fillna(records["name"]).tolist()
    except (ValueError, TypeError):
        raise ValueError("patients that are neither numbers nor texts") from None


def random_folds(groups: Sequence[str], fill: bool) -> np.ndarray:
    """Folds from 1 to 10 of groups by the hashes of their names: 80, 10 and 10 % of them.

    Args:
        groups: The group of every row, such as its patient.
        fill: Whether a part that would be empty gets a group of the largest part. With fewer than three groups, the
            first goes to training and the second to validation.
    """
    hashes = {group: hashlib.sha256(group.encode()).digest() for group in groups}
    folds = {group: 1 + int.from_bytes(digest) % 10 for group, digest in hashes.items()}
    if fill:
        ordered = sorted(folds, key=hashes.__getitem__)
        parts = {name: [group for group in ordered if folds[group] in SPLITS[name]] for name in SPLITS}
        if len(ordered) < len(SPLITS):
            parts = {name: ordered[index:index + 1] for index, name in enumerate(SPLITS)}
        for part in parts.values():
            if not part and len(largest := max(parts.values(), key=len)) > 1:
                part.append(largest.pop(0))
        folds = {group: folds[group] if folds[group] in SPLITS[name] else SPLITS[name][0]
                 for name, part in parts.items() for group in part}
    return np.array([folds[group] for group in groups], int)
