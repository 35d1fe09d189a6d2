"""Records of files, folders and stores, each with a different name."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ecgvae.data.naming import channel_names, fingerprint
from ecgvae.data.remarks import rates_remark
from ecgvae.data.store import Store
from ecgvae.data.tokens import Tokens
from ecgvae.signal import (
    Record,
    RecordFile,
    check_lead_map,
    fit_leads,
    independent_leads,
    lead_expansion,
    open_record,
)
from ecgvae.signal.formats import passed_over
from ecgvae.signal.reading import Search, search_records
from ecgvae.wording import plain


@dataclass(frozen=True)
class Entry:
    """A record of a collection: a file (its path without suffix), or a row of the store at `path`."""

    name: str
    path: Path
    row: int | None = None
    start: int = 0  # first sample of a window in its record, at the store's rate

    def __str__(self) -> str:
        return str(self.path) if self.row is None else f"{self.path} ({plain(self.name)})"


class Collection:
    """Records of several sources by name. The name of a file is its path relative to its source.

    Args:
        sources: Records, folders of them, and stores.

    Attributes:
        entries: The records.
        stores: The stores by path.
        remarks: What users should know: files that are passed over, and ECGs that are there at two sampling rates.
        passed_over: (source, remark) about files that are passed over.

    Raises:
        ValueError: Two records have the same name, or a source has no records.
        FileNotFoundError: A source does not exist.
    """

    def __init__(self, sources: Iterable[str | Path]):
        self.entries: list[Entry] = []
        self.stores: dict[Path, Store] = {}
        self.passed_over: list[tuple[str, str]] = []
        for source in map(Path, sources):
            if (source / "manifest.json").is_file():
                self.stores[source] = Store(source)
                self.entries += store_entries(source, self.stores[source])
            else:
                found = search_source(source)
                self.entries += file_entries(source, found.paths)
                self.passed_over += [(str(source), line) for line in passed_over(found.others)]
        by_name: dict[tuple[str, int], Entry] = {}
        for entry in self.entries:
            if (other := by_name.setdefault((entry.name, entry.start), entry)) is not entry:
                raise ValueError(f"{other} and {entry} are both named {plain(entry.name)}; "
                                 "give a folder that has both, or one of them at a time")
        rates = rates_remark(entry.name for entry in self.entries)
        self.remarks = [*(f"{source}: {line}" for source, line in self.passed_over), *rates]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def fingerprint(self) -> str:
        """A hash of the records' names and of the sizes and modification times of their files."""
        hashes = [fingerprint([(entry.name, entry.path) for entry in self.entries if entry.row is None])]
        hashes += [store.fingerprint for store in self.stores.values()]
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    def batches(self, count: int, samples: int) -> Iterator[list[Entry]]:
        """The entries in order, in batches that end at `count` entries or as soon as they have `samples` samples."""
        batch: list[Entry] = []
        size = 0
        for entry in self.entries:
            batch.append(entry)
            size += self.size(entry)
            if len(batch) == count or size >= samples:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def size(self, entry: Entry) -> int:
        """Approximate number of samples of all leads; a sample in a file counts as two bytes."""
        if entry.row is not None:
            store = self.stores[entry.path]
            return int(store.spans[entry.row, 1]) * len(store.leads)
        paths = (Path(f"{entry.path}{suffix}") for suffix in (".dat", ".mat"))
        return sum(path.stat().st_size // 2 for path in paths if path.is_file())

    def open(self, entry: Entry) -> Record | RecordFile:
        """The record of an entry; ValueError or OSError if it can't be read."""
        if entry.row is None:
            return replace(open_record(entry.path), name=entry.name)
        store = self.stores[entry.path]
        absent = store.absent_leads(entry.row)
        record = store.record(entry.row)
        return derive_absent(record, absent) if absent else record

    def check_lead_map(self, lead_map: Mapping[str, str]) -> None:
        """Raises ValueError if a lead map applies to no channel of any record."""
        check_lead_map(self._channel_names(), lead_map)

    def _channel_names(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from ((str(path), store.leads) for path, store in self.stores.items())
        yield from channel_names((str(entry), entry.path) for entry in self.entries if entry.row is None)

    def with_origin(self, entry: Entry, tokens: Tokens, rate: float) -> Tokens:
        """Tokens that know the record that a store's row was prepared from.

        They have the start and the length of the row in it, the date and time, the leads that it had, and the notes
        about it.

        Args:
            entry: The entry that was tokenized; tokens of a file are returned unchanged.
            tokens: Its tokens.
            rate: The tokenizer's sampling rate in Hz.
        """
        if entry.row is None:
            return tokens
        store = self.stores[entry.path]
        source = store.records.iloc[entry.row]
        covered = round(int(source["length"]) * source["rate"] / store.rate)
        leads = tokens.source_leads
        if leads is not None:
            leads = tuple(lead for lead in leads if lead in store.source_leads(entry.row))
        notes = tuple(dict.fromkeys((*store.records["notes"].iloc[entry.row], *tokens.notes)))
        return replace(tokens, start=round(entry.start * rate / store.rate), source_rate=float(source["rate"]),
                       source_samples=min(int(source["samples"]), covered), source_leads=leads, notes=notes,
                       start_time=store.start_time(entry.row))


def derive_absent(record: Record, absent: tuple[str, ...]) -> Record:
    """A store's record whose absent leads agree with the others: as if those of I and II that it lacks were 0 mV.

    Zeros in III, aVR, aVL and aVF would change the leads that it has, which are fitted to all limb leads.
    """
    present = tuple(lead for lead in record.leads if lead not in absent)
    coded = independent_leads(record.leads)
    matrix = lead_expansion(absent, coded) @ fit_leads(present, coded)[0]
    rows = {lead: row for row, lead in enumerate(record.leads)}
    signal = record.signal.copy()
    signal[[rows[lead] for lead in absent]] = matrix @ signal[[rows[lead] for lead in present]]
    return replace(record, signal=signal)


def search_source(source: Path) -> Search:
    """The records at or below a path; FileNotFoundError if it does not exist."""
    try:
        return search_records(source)
    except FileNotFoundError:
        raise FileNotFoundError(f"{source} is no record, folder of records or store") from None


def file_entries(source: Path, paths: list[Path]) -> list[Entry]:
    """An entry for each record of a source."""
    return [Entry(path.relative_to(source).as_posix() if source.is_dir() else path.name, path) for path in paths]


def store_entries(path: Path, store: Store) -> list[Entry]:
    """An entry for each row of a store."""
    names, starts = store.records["name"].tolist(), store.records["start"].tolist()
    return [Entry(name, path, row, start) for row, (name, start) in enumerate(zip(names, starts, strict=True))]
