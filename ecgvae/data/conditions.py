"""What a store's table of records tells a conditional model."""

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.store import Store
from ecgvae.models.cvae import SEXES, ConditionSettings


def condition_vectors(store: Store, condition: ConditionSettings) -> Float[Tensor, "rows k"]:
    """`ConditionSettings.vector` of every row of a store; what is missing there is unknown.

    ValueError where the store lacks a column, or never has one of the labels.
    """
    empty = [None] * len(store)
    labels = named(store, condition) if condition.labels else [()] * len(store)
    ages = [None if age is None else float(age) for age in column(store, "age")] if condition.age else empty
    sexes = [sex_of(value) for value in column(store, "sex")] if condition.sex else empty
    vectors = [condition.vector(*facts) for facts in zip(labels, ages, sexes, strict=True)]
    return torch.tensor(vectors, dtype=torch.float32).reshape(len(store), sum(condition.widths))


def named(store: Store, condition: ConditionSettings) -> list[tuple[str, ...]]:
    """The labels of every row, one or a list of them in the store."""
    values = column(store, condition.column)
    rows = [() if value is None else (value,) if isinstance(value, str) else tuple(value) for value in values]
    known = {label for row in rows for label in row}
    if missing := [label for label in condition.labels if label not in known]:
        raise ValueError(f"{store.path} has no {', '.join(missing)} in {condition.column}; "
                         f"it has {', '.join(sorted(known)[:20]) or 'nothing there'}")
    return rows


def column(store: Store, name: str) -> list:
    """A column of the table of records, None where a value is missing."""
    import pandas

    if name not in store.records:
        raise ValueError(f"{store.path} has no column {name}, which the model's condition is of")
    return [None if pandas.api.types.is_scalar(value) and pandas.isna(value) else value
            for value in store.records[name]]


def sex_of(value: object) -> str | None:
    """A sex by name, by its first letter or by PTB-XL's number (0 male, 1 female)."""
    if value is None:
        return None
    if isinstance(value, str):
        found = [sex for sex in SEXES if value.strip().lower() in (sex, sex[0])]
    else:
        found = [sex for number, sex in enumerate(SEXES) if value == number]
    return found[0] if found else None
