"""A folder of prepared signals: int16 microvolts to map into memory, a table of records and a manifest."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np

from ecgvae.signal import Record

FORMAT = 1
MICROVOLTS_PER_MV = 1000  # store units in a millivolt
SPLITS = {"train": range(1, 9), "validation": range(9, 10), "test": range(10, 11)}  # folds, as in PTB-XL


class Store:
    """Prepared signals with common leads and rate; a row of `records` is a record, or a window of one."""

    def __init__(self, path: str | Path):
        """Open a store on disk; ValueError if it is none or is damaged."""
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{path} is not there; wanted a store")
        try:
            self.manifest = json.loads((self.path / "manifest.json").read_text())
            version, self.fingerprint = self.manifest["format"], self.manifest["fingerprint"]
            self.leads, self.rate = tuple(self.manifest["leads"]), float(self.manifest["rate"])
            wanted = int(self.manifest["samples"]), len(self.leads)
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not an ecgvae store: it has no valid manifest.json") from None
        if version != FORMAT:
            raise ValueError(f"{path} has store format {version}; this version reads format {FORMAT}")
        found = self.signals
        if found.shape != wanted or found.dtype != np.int16:
            shape = f"signals.npy is {found.dtype} {found.shape}"
            raise ValueError(f"{path} is damaged: {shape}; wanted int16 {wanted}")

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
    def records(self):
        """The table of records, a pandas DataFrame."""
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
        """(rows, 2): where the signal of each row begins in `signals`, and its length."""
        spans = self.records[["offset", "length"]].to_numpy(np.int64)
        if (spans < 0).any() or (spans.sum(axis=1) > len(self.signals)).any():
            raise ValueError(f"{self.path} is damaged: records.parquet reaches beyond signals.npy")
        return spans

    def signal(self, row: int) -> np.ndarray:
        """(c, t) float32 mV."""
        offset, length = self.spans[row]
        microvolts = self.signals[offset:offset + length].T
        return np.ascontiguousarray(microvolts, np.float32) / np.float32(MICROVOLTS_PER_MV)

    def record(self, row: int) -> Record:
        facts = self.records.iloc[row]
        return Record(self.signal(row), self.rate, self.leads, facts["name"], tuple(facts["comments"]))

    def split(self, name: str) -> np.ndarray:
        """Rows of train, validation and test (folds 1-8, 9, 10, or 80, 10, 10 % of patients), or of all."""
        if name == "all":
            return np.arange(len(self))
        if name not in SPLITS:
            raise ValueError(f"split {name}; wanted {', '.join(SPLITS)} or all")
        return np.flatnonzero(np.isin(self._folds, SPLITS[name]))

    @cached_property
    def _folds(self) -> np.ndarray:
        if "fold" in self.records:
            return self.records["fold"].fillna(0).to_numpy(int)
        hashes = [hashlib.sha256(group.encode()).digest() for group in self._groups]
        return np.array([1 + int.from_bytes(digest) % 10 for digest in hashes], int)

    @property
    def _groups(self) -> list[str]:
        """What must stay in one split: the patient where known, else the record."""
        names = self.records["name"]
        if "patient" in self.records:
            return self.records["patient"].astype("string").fillna(names).tolist()
        return names.tolist()


def first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
