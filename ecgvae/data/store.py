"""A folder of prepared signals: int16 microvolts to map into memory, a table of records and a manifest."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ecgvae.signal import Record

FORMAT = 1
MICROVOLTS = 1000  # store units in a millivolt
SPLITS = {"train": range(1, 9), "validation": range(9, 10), "test": range(10, 11)}


@dataclass(frozen=True)
class Store:
    """Prepared signals with a common rate and common leads; one row of `records` is one record or window."""

    path: Path
    manifest: dict

    @classmethod
    def open(cls, path: str | Path) -> "Store":
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; wanted a store")
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            version = manifest["format"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is not an ecgvae store: it has no readable manifest.json") from None
        if version != FORMAT:
            raise ValueError(f"{path} has store format {version}; this version reads format {FORMAT}")
        return cls(path, manifest)._checked()

    def _checked(self) -> "Store":
        wanted = (self.manifest["samples"], len(self.leads))
        if self.signals.shape != wanted or self.signals.dtype != np.int16:
            raise ValueError(f"{self.path / 'signals.npy'} has shape {self.signals.shape} of "
                             f"{self.signals.dtype}; the manifest wants {wanted} of int16")
        return self

    @property
    def leads(self) -> tuple[str, ...]:
        return tuple(self.manifest["leads"])

    @property
    def rate(self) -> float:
        return self.manifest["rate"]

    @property
    def fingerprint(self) -> str:
        return self.manifest["fingerprint"]

    @cached_property
    def signals(self) -> np.ndarray:
        """All records end to end, (total samples, leads) int16 microvolts, mapped from disk."""
        path = self.path / "signals.npy"
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None

    @cached_property
    def records(self):
        """The table of records, a pandas DataFrame."""
        import pandas

        path = self.path / "records.parquet"
        try:
            return pandas.read_parquet(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from None

    @cached_property
    def spans(self) -> np.ndarray:
        """(rows, 2): where each row's signal begins in `signals`, and its length."""
        return self.records[["offset", "length"]].to_numpy(np.int64)

    def __len__(self) -> int:
        return self.manifest["records"]

    def signal(self, index: int) -> np.ndarray:
        """(c, t) float32 mV."""
        offset, length = self.spans[index]
        return np.ascontiguousarray(self.signals[offset:offset + length].T, np.float32) / np.float32(MICROVOLTS)

    def record(self, index: int) -> Record:
        row = self.records.iloc[index]
        return Record(self.signal(index), self.rate, self.leads, row["name"], tuple(row["comments"]))

    def split(self, name: str) -> np.ndarray:
        """Rows of "train", "validation", "test" or "all": by fold (1-8, 9, 10), else 80/10/10 by patient or name."""
        if name == "all":
            return np.arange(len(self))
        if name not in SPLITS:
            raise ValueError(f"no split {name!r}; wanted {', '.join(SPLITS)} or all")
        return np.flatnonzero(np.isin(self._folds, SPLITS[name]))

    @cached_property
    def _folds(self) -> np.ndarray:
        if "fold" in self.records:
            return self.records["fold"].fillna(0).to_numpy(int)
        return np.array([1 + int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10 for group in self._groups])

    @property
    def _groups(self) -> list[str]:
        """What must stay in one split: the patient where known, else the record."""
        names = self.records["name"]
        if "patient" in self.records:
            return self.records["patient"].astype("string").fillna(names).tolist()
        return names.tolist()
