"""Build a store from WFDB records: in batches, by several processes, resumable."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ecgvae.data.jobs import Parts, available_cpus, remove, run_parallel, write_atomically
from ecgvae.data.merge import Merge, NoUsableRecords
from ecgvae.data.store import MICROVOLTS_PER_MV, Store
from ecgvae.signal import LEADS_12, SignalSpec, canonical_lead, conform_stream, find_records, open_record

LARGEST = 32767  # -32768 stays free: it is WFDB's missing sample
BATCH_RECORDS = 64
BATCH_BYTES = 4_000_000

Progress = Callable[[int, int], object]
Named = tuple[str, Path]  # a record's name in the store, and its path


@dataclass(frozen=True)
class Layout:
    """What every record of a store is brought to; window in seconds."""

    leads: tuple[str, ...] = LEADS_12
    rate: float = 100
    window: float | None = None
    missing: str = "error"

    def __post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ValueError(f"a rate of {self.rate} Hz; wanted more than 0")
        if not self.leads or len(set(self.leads)) < len(self.leads):
            raise ValueError(f"leads {', '.join(self.leads)}; wanted one or more, each once")
        if self.missing not in ("error", "zero"):
            raise ValueError(f"missing leads {self.missing!r}; wanted error or zero")
        if self.window is not None and not 1 <= self.window * self.rate < math.inf:
            raise ValueError(f"a window of {self.window} s at {self.rate} Hz; wanted at least one sample")

    @property
    def window_samples(self) -> int | None:
        return None if self.window is None else round(self.window * self.rate)


class Unusable(ValueError):
    """A record that can't be read or brought to the layout."""


def build_store(source: str | Path, out: str | Path, *, rate: float = 100, leads: Iterable[str] = LEADS_12,
                window: float | None = None, workers: int | None = None, labels=None,
                records: Iterable[Path] | None = None, missing: str = "error", overwrite: bool = False,
                progress: Progress = lambda done, total: None) -> Store:
    """Prepare WFDB records as a store in `out`, with `workers` processes (None: one a processor).

    All records below `source`, or those of `records`. A window in seconds cuts them up. `labels` is a
    DataFrame indexed by record name (its path below `source`, without suffix). What is done waits in
    OUT.partial, so a build that was interrupted goes on when it is called again.
    """
    source, out = Path(source), Path(out)
    layout = Layout(tuple(canonical_lead(lead) for lead in leads), float(rate), window, missing)
    check_free(out, overwrite)
    named, doubles = name_records(source, find_records(source) if records is None else records)
    merge = Merge(layout.leads, layout.rate, layout.window, str(source), labels)
    job = {**asdict(layout), "records": fingerprint(named)}
    with Parts(out.with_name(out.name + ".partial"), job, overwrite) as parts:
        prepare_parts(parts, list(batched(named)), layout, workers or available_cpus(), progress)
        try:
            merge_parts(parts, out, merge, doubles)
        except NoUsableRecords:
            parts.remove()
            raise
        parts.remove()
    return Store(out)


def merge_parts(parts: Parts, out: Path, merge: Merge, doubles: list[tuple[str, str]]) -> None:
    """Join what is prepared and rename it to `out`; an old store there is put aside until then."""
    merged, old = parts.folder / "store", parts.folder / "replaced"
    remove(merged)
    write_atomically(merged, lambda folder: merge.write(folder, parts.paths(), doubles))
    if out.exists():
        remove(old)
        os.replace(out, old)
    os.replace(merged, out)


def check_free(out: Path, overwrite: bool) -> None:
    """Refuse an output that exists, and with `overwrite` one that isn't a store."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; use --overwrite")
    if out.exists() and not (out / "manifest.json").is_file():
        raise FileExistsError(f"{out} exists and is not a store; --overwrite doesn't delete it")


def name_records(source: Path, paths: Iterable[Path]) -> tuple[list[Named], list[tuple[str, str]]]:
    """The records by name, and (path, reason) of those whose name is taken."""
    root = source if source.is_dir() else source.parent
    named, doubles = {}, []
    for path in map(Path, paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if name in named:
            doubles.append((f"{path}.hea", f"the name {name} is taken by {named[name]}.hea"))
        else:
            named[name] = path
    return list(named.items()), doubles


def batched(named: list[Named]) -> Iterator[list[Named]]:
    """Split records into batches of bounded count and size, whatever the number of workers."""
    batch, size = [], 0
    for name, path in named:
        batch.append((name, path))
        size += sum(found.st_size for found in _files(path))
        if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def fingerprint(named: list[Named]) -> str:
    """A hash of the names, sizes and times of the records' files."""
    digest = hashlib.sha256()
    for name, path in named:
        files = [(file.st_size, file.st_mtime_ns) for file in _files(path)]
        digest.update(os.fsencode(name) + repr(files).encode())
    return digest.hexdigest()


def _files(path: Path) -> Iterator[os.stat_result]:
    for suffix in (".hea", ".dat", ".mat"):
        try:
            yield os.stat(f"{path}{suffix}")
        except (OSError, ValueError):
            continue


def prepare_parts(
    parts: Parts, batches: list[list[Named]], layout: Layout, workers: int, progress: Progress
) -> None:
    """Prepare the batches that aren't done yet."""
    pending = parts.pending(len(batches))
    total = sum(map(len, batches))
    done = total - sum(len(batches[index]) for index in pending)
    progress(done, total)
    arguments = [(parts.path(index), batches[index], layout) for index in pending]
    with closing(run_parallel(prepare_part, arguments, workers)) as counts:
        for count in counts:
            done += count
            progress(done, total)


def prepare_part(part: Path, batch: list[Named], layout: Layout) -> int:
    """Write one part: a folder with the samples of a batch of records, their rows, and what was skipped."""
    def write(folder: Path) -> None:
        folder.mkdir()
        rows, skipped = [], []
        with open(folder / "signals", "wb") as signals:
            for name, path in batch:
                start = signals.tell()
                try:
                    rows += append(signals, name, path, layout)
                except Unusable as error:
                    signals.seek(start)
                    signals.truncate()
                    skipped.append((f"{name}.hea", str(error)))
        (folder / "rows.json").write_text(json.dumps({"rows": rows, "skipped": skipped}))

    write_atomically(part, write)
    return len(batch)


def append(signals: BinaryIO, name: str, path: Path, layout: Layout) -> list[dict]:
    """Append one record's samples to a file, block by block, and return its rows, one a window."""
    frame = 2 * len(layout.leads)
    first, clipped, notes = signals.tell() // frame, np.zeros(len(layout.leads), int), []
    record, blocks = open_blocks(path, layout)
    for block in blocks:
        microvolts = np.rint(block.signal * MICROVOLTS_PER_MV)
        clipped += (np.abs(microvolts) > LARGEST).sum(axis=1)
        signals.write(np.clip(microvolts, -LARGEST, LARGEST).T.astype("<i2").tobytes())
        notes += block.notes
    notes += [f"{lead}: {count} samples clipped at {LARGEST / MICROVOLTS_PER_MV} mV"
              for lead, count in zip(layout.leads, clipped, strict=True) if count]
    samples = signals.tell() // frame - first
    window = min(layout.window_samples or samples, samples)
    if rest := samples % window:
        notes.append(f"last {rest / layout.rate:.2f} s left out, shorter than a window")
        signals.seek((first + samples - rest) * frame)
        signals.truncate()
    facts = {"rate": record.rate, "samples": record.samples, "comments": record.comments}
    return [{"name": name, "start": start, "offset": first + start, "length": window, **facts,
             "notes": [] if start else notes} for start in range(0, samples - rest, window)]


def open_blocks(path: Path, layout: Layout) -> tuple:
    """The opened record and an iterator over its blocks; whatever fails in either is Unusable, not fatal."""
    def blocks() -> Iterator:
        try:
            yield from conform_stream(record, spec, layout.missing, refit=False)
        except Exception as error:
            raise Unusable(error_text(error)) from error

    spec = SignalSpec(leads=layout.leads, rate=layout.rate)
    try:
        record = open_record(path)
    except Exception as error:
        raise Unusable(error_text(error)) from error
    return record, blocks()


def error_text(error: Exception) -> str:
    """What an error says; its type too where it isn't one that was foreseen."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
