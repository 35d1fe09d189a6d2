"""A folder of prepared signals: memory-mapped int16 microvolts, a table of records, and a manifest."""

import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.data.errors import first_line
from ecgvae.data.manifest import read_manifest
from ecgvae.data.record_table import read_records
from ecgvae.data.splits import patients, random_folds, table_folds, table_splits
from ecgvae.data.table import SPLITS
from ecgvae.files import check_regular
from ecgvae.legacy import leads_not_recorded
from ecgvae.signal import MICROVOLTS_PER_MV, Record, canonical_lead, fit_leads
from ecgvae.signal.start_time import StartTime, iso_to_start_time

if TYPE_CHECKING:
    import pandas



class Store:
    """Prepared signals of the same leads and rate. Each row of `records` is a record, or a window of one.

    Args:
        path: The folder of the store, which `build_store` or `ecgvae prepare` has made.

    Raises:
        ValueError: The folder is not a store, or is damaged.
        FileNotFoundError: There is no such folder.

    Example:
        >>> store = Store("ptbxl.store")
        >>> store.record(0)
        Record('records100/00000/00001_lr', 12 leads, 10 s at 100 Hz)
        >>> store.records.loc[store.split("test"), "superclass"]
    """

    def __init__(self, path: str | Path):
        if not isinstance(path, str | os.PathLike):
            raise ValueError(f"{path!r:.60} is not a path; wanted the folder of a store")
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{path} is not there; wanted a store")
        self._facts, self.manifest = read_manifest(self.path)
        self.leads, self.rate = standard_leads(self._facts.leads), self._facts.rate
        self.fingerprint = self._facts.fingerprint
        dtype, shape, wanted = self.signals.dtype, self.signals.shape, (self._facts.samples, len(self.leads))
        if shape != wanted or dtype != np.int16:
            raise ValueError(f"{path} is damaged: signals.npy is {dtype} {shape}; wanted int16 {wanted}")

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        """The former name of `Store(path)`."""
        warnings.warn("Store.open(path) is now Store(path)", DeprecationWarning, stacklevel=2)
        return cls(path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, {len(self)} rows, {len(self.leads)} leads at {self.rate:g} Hz)"

    def __len__(self) -> int:
        return len(self.spans)

    @cached_property
    def signals(self) -> np.ndarray:
        """All rows end to end, (total samples, leads) int16 microvolts, mapped from disk."""
        path = self.path / "signals.npy"
        try:
            signals = np.load(check_regular(path, "an array (.npy)"), mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises errors of many types on files it can't read
            raise ValueError(f"{self.path} is damaged: signals.npy: {first_line(error)}") from None
        if not isinstance(signals, np.ndarray):
            raise ValueError(f"{self.path} is damaged: signals.npy is not an array")
        return signals

    @cached_property
    def records(self) -> "pandas.DataFrame":
        """The table of records, with a row for each record or window."""
        path, facts = self.path / "records.parquet", self._facts
        return read_records(path, facts.samples, self.rate, facts.leads, facts.origin_columns)

    @cached_property
    def spans(self) -> np.ndarray:
        """The position of each row in `signals`, as (first sample, number of samples): (rows, 2)."""
        return self.records[["offset", "length"]].to_numpy(np.int64)

    def signal(self, row: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The signal of a row from sample `start` to `stop`, (c, t) float32 in mV."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {self.path}; it has {len(self)} rows")
        offset, length = self.spans[row]
        first, last, _ = slice(start, stop).indices(int(length))
        microvolts = self.signals[offset + first:offset + last].T
        return np.ascontiguousarray(microvolts, np.float32) / np.float32(MICROVOLTS_PER_MV)

    def record(self, row: int) -> Record:
        """A row as a record. Leads that were set to 0 mV or derived are among its leads: see `source_leads`."""
        signal, columns = self.signal(row), self.records.iloc[row]
        invented = [lead for lead in self.leads if f"{lead} is invented by a model" in self.notes(row)]
        return Record(signal, self.rate, self.leads, columns["name"], tuple(columns["comments"]),
                      start_time=self.start_time(row), invented_leads=tuple(invented))

    def start_time(self, row: int) -> StartTime:
        """The date and time of the first sample of a row, or only the time of day; None if it is unknown."""
        if not self._has_origin("start_time"):
            return None
        value = self.records["start_time"].iloc[row]
        try:
            return iso_to_start_time(value if isinstance(value, str) else None)
        except ValueError:
            raise ValueError(f"{self.path} is damaged: row {row} starts at {value!r:.60}") from None

    def _has_origin(self, column: str) -> bool:
        """Whether the table has this column, and it is not one of the user's labels."""
        return column in self._facts.origin_columns and column in self.records

    def notes(self, row: int) -> tuple[str, ...]:
        """The notes about the record of a row; the first window of a record has those of all its windows."""
        return tuple(self.records["notes"].iloc[self._first_rows[row]])

    @cached_property
    def _first_rows(self) -> np.ndarray:
        """The row of the first window of the record of every row."""
        import pandas

        codes, names = pandas.factorize(self.records["name"])
        order = np.lexsort((self.records["start"].to_numpy(), codes))
        first = np.zeros(len(names), np.int64)
        first[codes[order][::-1]] = order[::-1]
        return first[codes]

    def source_leads(self, row: int) -> tuple[str, ...]:
        """The leads that the record of a row had: without those that were set to 0 mV, derived or invented by a model.
        """
        if self._has_origin("source_leads"):
            values = self.records["source_leads"].iloc[row]
            if values is not None:
                return tuple(standard for lead, standard in zip(self._facts.leads, self.leads, strict=True)
                             if lead in values)
        others = leads_not_recorded(self.notes(row))
        return tuple(lead for lead in self.leads if lead not in others)

    def absent_leads(self, row: int) -> tuple[str, ...]:
        """The leads that the record of a row lacked and that do not follow from its others; they are 0 mV."""
        return fit_leads(self.source_leads(row), self.leads, True)[1]

    def drop_absent(self, row: int, record: Record) -> Record:
        """The record of a row without the leads that it lacked, whose 0 mV would change others in a fit of all leads.
        """
        absent = self.absent_leads(row)
        return record.select([lead for lead in self.leads if lead not in absent]) if absent else record

    @cached_property
    def resampled(self) -> dict[float, int]:
        """The number of records by their sampling rate in Hz, of those whose rate is not that of the store."""
        rates = self.records.drop_duplicates("name")["rate"]
        return {float(rate): int(count) for rate, count in rates[rates != self.rate].value_counts().items()}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What users should know about the store: what its source also has, and how it is split."""
        if self._facts.random_split is None or "fold" in self.records or self._splits is not None:
            return self._facts.remarks
        return *self._facts.remarks, self._split_remark

    @property
    def _split_remark(self) -> str:
        kind, groups = self._facts.random_split, patients(self.records)
        parts = [f"{len({groups[row] for row in self.split(name)}):,} {name}" for name in SPLITS]
        text = f"no folds: split at random by {kind}, {', '.join(parts)}"
        return text if len(set(groups)) >= len(SPLITS) else f"{text}; three parts want 3 {kind}s or more"

    def split(self, name: str) -> np.ndarray:
        """The rows of a split.

        Splits come from the column `split` of the table of records, else from the column `fold` (1-8 train, 9
        validation, 10 test). A store without either is split at random, but always alike, into 80, 10 and 10 % of the
        patients (of the records, if patients are unknown); none of the three is empty if there are three patients. A
        row whose split or fold is missing is in no split.

        Args:
            name: "train", "validation", "test", or "all" for every row.

        Raises:
            ValueError: The name is another one, or a fold is not a number.
        """
        if name == "all":
            return np.arange(len(self))
        if name not in SPLITS:
            raise ValueError(f"split {name}; wanted {', '.join(SPLITS)} or all")
        if self._splits is not None:
            return np.flatnonzero([split == name for split in self._splits])
        return np.flatnonzero(np.isin(self._folds, SPLITS[name]))

    @cached_property
    def _splits(self) -> list[str | None] | None:
        return table_splits(self.records)

    @cached_property
    def _folds(self) -> np.ndarray:
        """The fold of every row, 1 to 10; 0 where it is missing."""
        try:
            folds = table_folds(self.records)
            # Stores of earlier versions keep the split they had, in which a part may be empty.
            fill = self._facts.random_split is not None
            return random_folds(patients(self.records), fill) if folds is None else folds
        except ValueError as error:
            raise ValueError(f"{self.path} has {error}") from None


def standard_leads(names: Sequence[str]) -> tuple[str, ...]:
    """The leads of a store in their standard spelling, or unchanged if two of them would become equal."""
    leads = tuple(map(canonical_lead, names))
    return leads if len(set(leads)) == len(leads) else tuple(names)
