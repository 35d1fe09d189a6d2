"""Remarks about the source of a job: signals that are passed over or there twice, and folds that are not taken."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ecgvae.data.table import has_splits
from ecgvae.wording import count_is

if TYPE_CHECKING:
    import pandas

RATES = {"lr": 100, "hr": 500}  # of PTB-XL's files, in Hz
_PTBXL_FOLDER = re.compile(r"(?:^|(?<=/))records(?:100|500)/")
_PTBXL_NAME = re.compile(r"(?:.*/)?\d{5}_(lr|hr)")


def rates_remark(names: Iterable[str]) -> list[str]:
    """A remark if records are the same ECGs at two sampling rates, by their names: those of PTB-XL."""
    rates: dict[str, set[str]] = {}
    for name in names:
        if match := _PTBXL_NAME.fullmatch(name):
            rates.setdefault(_PTBXL_FOLDER.sub("", name)[:-3], set()).add(match[1])
    several = sum(len(found) == len(RATES) for found in rates.values())
    low, high = RATES.values()
    return [f"{count_is(several, 'ECG')} there at {low} and {high} Hz; give records{low} or records{high} to have each "
            "once"] if several else []


def count_ptbxl(names: Iterable[str]) -> int:
    """The number of records that are named like PTB-XL's."""
    return sum(_PTBXL_NAME.fullmatch(name) is not None for name in names)


def folds_remark(names: Iterable[str], labels: "pandas.DataFrame | None") -> list[str]:
    """A remark if records of PTB-XL are prepared without its folds."""
    if has_splits(labels):
        return []
    several = count_ptbxl(names)
    return [f"{count_is(several, 'record')} named like PTB-XL's, but its patients and folds are not taken; "
            "--dataset ptbxl takes them from ptbxl_database.csv"] if several else []
