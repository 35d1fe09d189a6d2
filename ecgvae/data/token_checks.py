"""Checks that every field of tokens has a value of its kind, which may come from anywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ecgvae.signal.record import is_positive
from ecgvae.signal.start_time import is_start_time
from ecgvae.wording import plain, quote

MAX_COUNT = (1 << 63) - 1       # int64, the type of columns of token files
WHOLE_NUMBERS, FLOATS = (int, np.integer), (float, np.floating)
COUNT = "a whole number, 0 or more"
ERRORS = "None, or a list with a number or None for each lead"


def check_fields(tokens: Any) -> None:
    """Raises ValueError, in one line, for a field of tokens that has no value of its kind."""
    for field, (is_valid, wanted) in FIELDS.items():
        value = getattr(tokens, field)
        if not is_valid(value):
            name = plain(tokens.name) if isinstance(tokens.name, str) else "a record"
            raise ValueError(f"{name} has {field} {quote(value)}; wanted {wanted}")


def is_text(value: object) -> bool:
    """Whether a value is a text that files can hold; one with lone surrogates is none."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))


def is_count(value: object) -> bool:
    """Whether a value is a whole number that token files can hold."""
    return isinstance(value, WHOLE_NUMBERS) and not isinstance(value, bool) and bool(0 <= value <= MAX_COUNT)


def is_number_or_none(value: object) -> bool:
    """Whether a value is a number, which may be NaN, or None."""
    return value is None or isinstance(value, FLOATS) or is_count(value)


def is_texts(values: object) -> bool:
    """Whether values are a list of texts."""
    return isinstance(values, list | tuple) and all(map(is_text, values))


def are_leads(values: Any) -> bool:
    """Whether values are a list of different texts, or None."""
    return values is None or (is_texts(values) and len(set(values)) == len(values))


def are_errors(values: Any) -> bool:
    """Whether values are a list or an array (leads,) of numbers, each of which may be None, or None."""
    items = values.tolist() if isinstance(values, np.ndarray) else values
    return items is None or (isinstance(items, list | tuple) and all(map(is_number_or_none, items)))


def are_arrays(values: object) -> bool:
    """Whether values are a list of arrays without masks."""
    return isinstance(values, list | tuple) and all(
        isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray) for value in values)


FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (is_text, "a text"),
    "codes": (are_arrays, "a NumPy array of whole numbers for each codebook"),
    "samples": (is_count, COUNT),
    "source_rate": (is_positive, "a number above 0"),
    "source_samples": (is_count, COUNT),
    "start": (is_count, COUNT),
    "comments": (is_texts, "a list of texts"),
    "notes": (is_texts, "a list of texts"),
    "start_time": (is_start_time, "a datetime or a time without a time zone"),
    "source_leads": (are_leads, "a list of different leads"),
    "prdn": (are_errors, ERRORS),
    "rmse_uv": (are_errors, ERRORS),
}
