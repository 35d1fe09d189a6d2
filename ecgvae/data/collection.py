"""Records from any mix of files, folders and stores, each under a name of its own."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ecgvae.data.prepare import fingerprint
from ecgvae.data.store import Store
from ecgvae.data.tokens import Tokens
from ecgvae.signal import Record, RecordFile, find_records, open_record


@dataclass(frozen=True)
class Entry:
    """A record of a collection: a file without suffix, or a row of the store at `path`."""

    name: str
    path: Path
    row: int | None = None
    start: int = 0      # of a window in its record, in samples of the store

    def __str__(self) -> str:
        return str(self.path) if self.row is None else f"{self.path} ({self.name})"


class Collection:
    """Records by name: files have theirs relative to the folder they were looked for in."""

    def __init__(self, sources: Iterable[str | Path]):
        self.entries: list[Entry] = []
        self.stores: dict[Path, Store] = {}
        for source in map(Path, sources):
            if (source / "manifest.json").is_file():
                self.stores[source] = Store(source)
                self.entries += rows(source, self.stores[source])
            else:
                self.entries += files(source)
        taken: dict[tuple[str, int], Entry] = {}
        for entry in self.entries:
            if (other := taken.setdefault((entry.name, entry.start), entry)) is not entry:
                raise ValueError(f"{other} and {entry} are both named {entry.name}; "
                                 "give the folder they are both in, or one of them at a time")

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def fingerprint(self) -> str:
        """A hash of the records' names and of what is in them, as far as sizes and times of files tell."""
        inside = [fingerprint([(entry.name, entry.path) for entry in self.entries if entry.row is None])]
        inside += [store.fingerprint for store in self.stores.values()]
        return hashlib.sha256(json.dumps(inside).encode()).hexdigest()

    def batches(self, count: int, samples: int) -> Iterator[list[Entry]]:
        """The entries in order, so many at a time; fewer where together they have more samples."""
        batch, size = [], 0
        for entry in self.entries:
            batch.append(entry)
            size += self.size(entry)
            if len(batch) == count or size >= samples:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def size(self, entry: Entry) -> int:
        """Samples of all leads, roughly: two bytes each in a file."""
        if entry.row is not None:
            store = self.stores[entry.path]
            return int(store.spans[entry.row, 1]) * len(store.leads)
        data = (Path(f"{entry.path}{suffix}") for suffix in (".dat", ".mat"))
        return sum(file.stat().st_size // 2 for file in data if file.is_file())

    def open(self, entry: Entry) -> Record | RecordFile:
        """ValueError or OSError where it can't be read."""
        if entry.row is None:
            return replace(open_record(entry.path), name=entry.name)
        return self.stores[entry.path].record(entry.row)

    def traced(self, entry: Entry, tokens: Tokens, rate: float) -> Tokens:
        """Tokens of a store's row as those of the record that it was prepared from; `rate` is the tokens' own."""
        if entry.row is None:
            return tokens
        store = self.stores[entry.path]
        source = store.records.iloc[entry.row]
        covered = round(int(source["length"]) * source["rate"] / store.rate)
        return replace(tokens, start=round(entry.start * rate / store.rate), source_rate=float(source["rate"]),
                       source_samples=min(int(source["samples"]), covered))


def files(source: Path) -> list[Entry]:
    """The records at or below a path."""
    try:
        paths = find_records(source)
    except FileNotFoundError:
        raise FileNotFoundError(f"{source} is no record, folder of records or store") from None
    return [Entry(path.relative_to(source).as_posix() if source.is_dir() else path.name, path) for path in paths]


def rows(path: Path, store: Store) -> list[Entry]:
    names, starts = store.records["name"].tolist(), store.records["start"].tolist()
    return [Entry(name, path, row, start) for row, (name, start) in enumerate(zip(names, starts, strict=True))]
