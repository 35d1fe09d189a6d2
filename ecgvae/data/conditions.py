"""The conditions of a conditional model, from a store's table of records."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.conditions import SEXES, ConditionSettings
from ecgvae.data.store import Store

LIST_TYPES = (list, tuple, np.ndarray)


def condition_vectors(store: Store, condition: ConditionSettings) -> Float[Tensor, "rows k"]:
    """The condition vector of every row of a store; values that are missing in the table are unknown conditions.

    Raises:
        ValueError: The store lacks a column, no row has one of the labels, or an age is not a number.
    """
    unknown = [None] * len(store)
    labels = row_labels(store, condition) if condition.labels else [()] * len(store)
    ages = [parse_age(value, store) for value in column_values(store, "age")] if condition.age else unknown
    sexes = [parse_sex(value) for value in column_values(store, "sex")] if condition.sex else unknown
    vectors = [condition.vector(*values) for values in zip(labels, ages, sexes, strict=True)]
    return torch.tensor(vectors, dtype=torch.float32).reshape(len(store), condition.width)


def row_labels(store: Store, condition: ConditionSettings) -> list[tuple[str, ...]]:
    """The labels of every row in the condition's columns. A cell of the table has one label or a list of labels."""
    by_column = [column_labels(store, column) for column in condition.columns]
    rows = [tuple(dict.fromkeys(label for labels in row for label in labels)) for row in zip(*by_column, strict=True)]
    existing = {label for row in rows for label in row}
    if missing := [label for label in condition.labels if label not in existing]:
        raise ValueError(f"{store.path} has no {', '.join(missing)} in {' or '.join(condition.columns)}; "
                         f"it has {', '.join(sorted(existing)[:20]) or 'no labels'}")
    return rows


def column_labels(store: Store, name: str) -> list[tuple[str, ...]]:
    """The labels in a column of the table of records; none for missing values."""
    return [() if value is None else tuple(map(str, value)) if isinstance(value, LIST_TYPES) else (str(value),)
            for value in column_values(store, name)]


def column_values(store: Store, name: str) -> list[Any]:
    """The values of a column of the table of records; None for missing values."""
    import pandas

    if name not in store.records:
        raise ValueError(f"{store.path} has no column {name}, which the model's condition needs")
    return [None if pandas.api.types.is_scalar(value) and pandas.isna(value) else value
            for value in store.records[name]]


def parse_age(value: object, store: Store) -> float | None:
    """An age in years; ValueError if it is not a number."""
    try:
        age = None if value is None else float(value)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        age = math.inf
    if age is not None and not math.isfinite(age):
        raise ValueError(f"{store.path} has the age {value!r:.60}; wanted years")
    return age


def parse_sex(value: object) -> str | None:
    """A sex from its name, its first letter or PTB-XL's number (0 male, 1 female); None for anything else."""
    if value is None:
        return None
    if isinstance(value, str):
        matches = [sex for sex in SEXES if value.strip().lower() in (sex, sex[0])]
    elif not isinstance(value, int | float | np.number | np.bool_):
        matches = []
    else:
        matches = [sex for number, sex in enumerate(SEXES) if value == number]
    return matches[0] if matches else None
