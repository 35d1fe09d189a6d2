"""Build a store from WFDB records: in batches, by several processes, resumable."""

import csv
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ecgvae.data.jobs import Parts, available_cpus, remove, run
from ecgvae.data.store import FORMAT, MICROVOLTS, Store
from ecgvae.signal import LEADS_12, SignalSpec, conform_stream, find_records, open_record

LIMIT = 32767             # -32768 stays free: WFDB's missing sample
BATCH_RECORDS = 64
BATCH_BYTES = 4_000_000
COLUMNS = ("name", "start", "offset", "length", "rate", "samples", "notes", "comments")


@dataclass(frozen=True)
class Layout:
    """What every record of a store is brought to."""

    leads: tuple[str, ...]
    rate: float
    window: float | None
    missing: str

    @property
    def window_samples(self) -> int | None:
        return None if self.window is None else round(self.window * self.rate)


class Unusable(ValueError):
    """A record that can't be read or brought to the layout."""


def build_store(source: str | Path, out: str | Path, *, rate: float = 100, leads: tuple[str, ...] = LEADS_12,
                window: float | None = None, workers: int | None = None, labels=None,
                records: list[Path] | None = None, missing: str = "error", overwrite: bool = False,
                progress: Callable[[int, int], object] = lambda done, total: None) -> Store:
    """Prepare a folder of WFDB records as a store in `out`.

    `window` in seconds cuts records up; `labels` is a DataFrame indexed by record name (path below `source`
    without suffix); `records` are the paths to use instead of all below `source`. What is done waits in
    OUT.partial, so an interrupted build goes on when called again.
    """
    source, out = Path(source), Path(out)
    layout = Layout(tuple(leads), float(rate), window, missing)
    if window is not None and layout.window_samples < 1:
        raise ValueError(f"a window of {window} s holds no sample at {rate} Hz; wanted a longer one")
    check_free(out, overwrite)
    named, twice = name_records(source, find_records(source) if records is None else records)
    batches = list(batched(named))
    partial = out.with_name(out.name + ".partial")
    job = {**asdict(layout), "format": FORMAT, "records": fingerprint_files(named)}
    parts = Parts(partial, job, overwrite)
    prepare_parts(parts, batches, layout, workers, progress)
    try:
        merged = merge_parts(parts, partial / "store", layout, source, twice, labels)
    except Unusable:
        shutil.rmtree(partial)
        raise
    move_into_place(merged, out, partial)
    return Store.open(out)


def check_free(out: Path, overwrite: bool) -> None:
    """Refuse an output that exists, and with `overwrite` one that isn't a store."""
    if not out.exists():
        return
    if not overwrite:
        raise FileExistsError(f"{out} exists; use --overwrite")
    if not (out / "manifest.json").exists():
        raise FileExistsError(f"{out} exists and is not a store; delete it yourself if it may go")


def name_records(source: Path, paths: Iterable[Path]) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """(name, path) of each record, and (path, reason) of those whose name is taken."""
    root = source if source.is_dir() else source.parent
    named, twice = {}, []
    for path in map(Path, paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if name in named:
            twice.append((str(path), f"the name {name} is already taken by {named[name]}"))
        else:
            named[name] = path
    return list(named.items()), twice


def batched(named: list[tuple[str, Path]]) -> Iterator[list[tuple[str, Path]]]:
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


def _files(path: Path) -> Iterator[os.stat_result]:
    for suffix in (".hea", ".dat", ".mat"):
        try:
            yield os.stat(f"{path}{suffix}")
        except OSError:
            continue


def fingerprint_files(named: list[tuple[str, Path]]) -> str:
    """A hash of the names, sizes and times of the records' files."""
    digest = hashlib.sha256()
    for name, path in named:
        digest.update(f"{name}\n{[(file.st_size, file.st_mtime_ns) for file in _files(path)]}\n".encode())
    return digest.hexdigest()


def prepare_parts(parts: Parts, batches: list, layout: Layout, workers: int | None, progress: Callable) -> None:
    """Prepare the batches that aren't done yet."""
    pending = parts.pending(len(batches))
    total = sum(map(len, batches))
    done = total - sum(len(batches[index]) for index in pending)
    progress(done, total)
    arguments = [(parts, index, batches[index], layout) for index in pending]
    for count in run(prepare_batch, arguments, available_cpus() if workers is None else workers):
        done += count
        progress(done, total)


def prepare_batch(parts: Parts, index: int, batch: list[tuple[str, Path]], layout: Layout) -> int:
    """Write one part: the samples of a batch of records, their rows, and what was skipped."""
    def write(folder: Path) -> None:
        folder.mkdir()
        rows, skipped = [], []
        with open(folder / "signals", "wb") as signals:
            for name, path in batch:
                start = signals.tell()
                try:
                    rows += write_record_rows(signals, name, path, layout)
                except Unusable as error:
                    signals.seek(start)
                    signals.truncate()
                    skipped.append((f"{name}.hea", str(error)))
        (folder / "rows.json").write_text(json.dumps({"rows": rows, "skipped": skipped}))
    parts.save(index, write)
    return len(batch)


def write_record_rows(signals, name: str, path: Path, layout: Layout) -> list[dict]:
    """Append one record's samples to `signals` and return its rows, one a window."""
    width = 2 * len(layout.leads)
    start, notes, clipped = signals.tell() // width, [], np.zeros(len(layout.leads), int)
    record, blocks = open_blocks(path, layout)
    for block in blocks:
        microvolts = np.rint(block.signal * MICROVOLTS)
        clipped += (np.abs(microvolts) > LIMIT).sum(axis=1)
        np.clip(microvolts, -LIMIT, LIMIT).T.astype("<i2").tofile(signals)
        notes += [note for note in block.notes if note not in notes]
    notes += [f"{lead}: {count} samples clipped at {LIMIT / MICROVOLTS} mV"
              for lead, count in zip(layout.leads, clipped) if count]
    samples = signals.tell() // width - start
    if not samples:
        raise Unusable(f"{name} has no samples")
    window = min(layout.window_samples or samples, samples)
    if rest := samples % window:
        notes.append(f"last {rest / layout.rate:.2f} s left out: shorter than a window")
        signals.seek((start + samples - rest) * width)
        signals.truncate()
    return [dict(name=name, start=at, offset=start + at, length=window, rate=record.rate, samples=record.samples,
                 notes=notes if at == 0 else [], comments=list(record.comments))
            for at in range(0, samples - rest, window)]


def open_blocks(path: Path, layout: Layout) -> tuple:
    """The opened record and an iterator over its conformed blocks; what fails in either is Unusable."""
    spec = SignalSpec(leads=layout.leads, rate=layout.rate)

    def blocks() -> Iterator:
        try:
            yield from conform_stream(record, spec, layout.missing, refit=False)
        except (ValueError, OSError) as error:
            raise Unusable(one_line(error)) from error

    try:
        record = open_record(path)
    except (ValueError, OSError) as error:
        raise Unusable(one_line(error)) from error
    return record, blocks()


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def merge_parts(parts: Parts, folder: Path, layout: Layout, source: Path, skipped: list, labels) -> Path:
    """Join the parts into a store in `folder`."""
    loaded = [(path / "signals", json.loads((path / "rows.json").read_text())) for path in parts.paths()]
    skipped = [tuple(item) for _, part in loaded for item in part["skipped"]] + skipped
    rows, total = [], 0
    for _, part in loaded:
        rows += [{**row, "offset": row["offset"] + total} for row in part["rows"]]
        total += sum(row["length"] for row in part["rows"])
    if not rows:
        first = f"; the first: {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise Unusable(f"none of {len(skipped)} records in {source} can be used{first}")
    remove(folder)
    folder.mkdir()
    digest = hashlib.sha256(json.dumps([layout.leads, layout.rate]).encode())
    digest.update(json.dumps([[row["name"], row["start"], row["length"]] for row in rows]).encode())
    join_signals([path for path, _ in loaded], folder / "signals.npy", (total, len(layout.leads)), digest)
    write_table(rows, labels, folder / "records.parquet")
    with open(folder / "skipped.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "reason"), *skipped])
    manifest = dict(format=FORMAT, leads=layout.leads, rate=layout.rate, unit="uV", window=layout.window,
                    source=str(source), records=len(rows), samples=total, fingerprint=digest.hexdigest()[:32],
                    skipped=len(skipped), versions=versions())
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return folder


def join_signals(paths: list[Path], out: Path, shape: tuple[int, int], digest) -> None:
    """Write raw int16 files one after another as a single .npy, and add their bytes to `digest`."""
    header = {"descr": "<i2", "fortran_order": False, "shape": shape}
    with open(out, "wb") as joined:
        np.lib.format.write_array_header_1_0(joined, header)
        for path in paths:
            with open(path, "rb") as part:
                while chunk := part.read(1 << 22):
                    joined.write(chunk)
                    digest.update(chunk)


def write_table(rows: list[dict], labels, path: Path) -> None:
    """The rows, each with the labels of its record, as Parquet."""
    import pandas

    table = pandas.DataFrame(rows, columns=list(COLUMNS))
    if labels is not None:
        if taken := sorted(set(labels.columns) & set(COLUMNS)):
            raise ValueError(f"labels have columns {', '.join(taken)}, which the store has already; rename them")
        table = table.join(labels.convert_dtypes(), on="name")
    table.to_parquet(path, index=False)


def versions() -> dict[str, str]:
    try:
        return {"ecgvae": importlib.metadata.version("ecgvae"), "numpy": np.__version__}
    except importlib.metadata.PackageNotFoundError:
        return {"ecgvae": "unknown", "numpy": np.__version__}


def move_into_place(merged: Path, out: Path, partial: Path) -> None:
    """Rename the finished store to `out`, with an old one put aside until the new one is there."""
    if out.exists():
        remove(partial / "replaced")
        os.replace(out, partial / "replaced")
    os.replace(merged, out)
    shutil.rmtree(partial)
