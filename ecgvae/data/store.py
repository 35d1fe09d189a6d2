"""A folder of prepared signals: memory-mapped int16 microvolts, a table of records, and a manifest."""

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.data.errors import first_line
from ecgvae.data.table import SPLITS, split_name
from ecgvae.signal import Record, canonical_lead

if TYPE_CHECKING:
    import pandas

FORMAT = 1
MICROVOLTS_PER_MV = 1000


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
        try:
            self.manifest = json.loads((self.path / "manifest.json").read_text())
            version, self.fingerprint = self.manifest["format"], self.manifest["fingerprint"]
            self.leads, self.rate = standard_leads(self.manifest["leads"]), float(self.manifest["rate"])
            wanted = int(self.manifest["samples"]), len(self.leads)
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not an ecgvae store: it has no valid manifest.json") from None
        if version != FORMAT:
            raise ValueError(f"{path} has store format {version}; this version reads format {FORMAT}")
        dtype, shape = self.signals.dtype, self.signals.shape
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
        try:
            return np.load(self.path / "signals.npy", mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{self.path} is damaged: signals.npy: {first_line(error)}") from None

    @cached_property
    def records(self) -> "pandas.DataFrame":
        """The table of records, with a row for each record or window."""
        import pandas

        try:
            table = pandas.read_parquet(self.path / "records.parquet")
            if missing := sorted({"name", "offset", "length"} - set(table.columns)):
                raise ValueError(f"no columns {', '.join(missing)}")
            return table
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.path} is damaged: records.parquet: {first_line(error)}") from None

    @cached_property
    def spans(self) -> np.ndarray:
        """The position of each row in `signals`, as (first sample, number of samples): (rows, 2)."""
        spans = self.records[["offset", "length"]].to_numpy(np.int64)
        if (spans < 0).any() or (spans.sum(axis=1) > len(self.signals)).any():
            raise ValueError(f"{self.path} is damaged: records.parquet reaches beyond signals.npy")
        return spans

    def signal(self, row: int) -> np.ndarray:
        """The signal of a row, (c, t) float32 in mV."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {self.path}; it has {len(self)} rows")
        offset, length = self.spans[row]
        microvolts = self.signals[offset:offset + length].T
        return np.ascontiguousarray(microvolts, np.float32) / np.float32(MICROVOLTS_PER_MV)

    def record(self, row: int) -> Record:
        """A row as a record."""
        signal, columns = self.signal(row), self.records.iloc[row]
        return Record(signal, self.rate, self.leads, columns["name"], tuple(columns["comments"]))

    def split(self, name: str) -> np.ndarray:
        """The rows of a split.

        Splits come from the column `split` of the table of records, else from the column `fold` (1-8 train, 9
        validation, 10 test). A store without either is split at random, but always alike, into 80, 10 and 10 % of the
        patients (of the records, if patients are unknown). A row whose split or fold is missing is in no split.

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
        """The split of every row by the column `split`; None if there is no such column.

        Stores of earlier versions may have a column of that name with other values; it is ignored.
        """
        if "split" not in self.records:
            return None
        values = self.records["split"].astype("string").fillna("")
        try:
            splits = [split_name(value, name) for value, name in zip(values, self.records["name"], strict=True)]
        except ValueError:
            return None
        return splits if any(splits) else None

    @cached_property
    def _folds(self) -> np.ndarray:
        """The fold of every row, 1 to 10; 0 where it is missing."""
        import pandas

        if "fold" in self.records:
            try:
                return pandas.to_numeric(self.records["fold"]).fillna(0).to_numpy(int)
            except (ValueError, TypeError):
                raise ValueError(f"{self.path} has folds that are not whole numbers; wanted 1 to 10") from None
        hashes = [hashlib.sha256(group.encode()).digest() for group in self._groups]
        return np.array([1 + int.from_bytes(digest) % 10 for digest in hashes], int)

    @property
    def _groups(self) -> list[str]:
        """The patient of every row, or its record if the patient is unknown; all rows of a group are in one split."""
        names = self.records["name"]
        if "patient" in self.records:
            return self.records["patient"].astype("string").fillna(names).tolist()
        return names.tolist()


def standard_leads(names: Sequence[str]) -> tuple[str, ...]:
    """The leads of a store in their standard spelling, or unchanged if two of them would become equal."""
    leads = tuple(map(canonical_lead, names))
    return leads if len(set(leads)) == len(leads) else tuple(names)
