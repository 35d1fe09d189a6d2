"""Building a store from WFDB records: in batches, by several processes, resumable."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ecgvae.data.errors import NoUsableRecords, check_free, error_text
from ecgvae.data.jobs import Parts, available_cpus, remove, run_parallel, write_atomically
from ecgvae.data.layout import Layout, as_leads, as_path
from ecgvae.data.merge import Merge
from ecgvae.data.naming import NamedPath, channel_names, file_status, fingerprint, name_records
from ecgvae.data.store import MICROVOLTS_PER_MV, Store
from ecgvae.data.table import match_labels
from ecgvae.signal import (
    LEADS_12,
    RecordFile,
    SignalSpec,
    check_lead_map,
    conform_stream,
    find_records,
    open_record,
    standardize_lead_map,
)
from ecgvae.signal.conform import Conformed, Missing

if TYPE_CHECKING:
    import pandas

MAX_STORED_UV = 32767  # -32768 is not used, as it is WFDB's missing sample
BATCH_RECORDS = 64
BATCH_BYTES = 4_000_000

Progress = Callable[[int, int], object]


class UnusableRecord(ValueError):
    """A record that can't be read or brought to the layout."""


def build_store(source: str | Path, out: str | Path, *, rate: float = 100, leads: str | Iterable[str] = LEADS_12,
                window: float | None = None, workers: int | None = None, labels: "pandas.DataFrame | None" = None,
                records: Iterable[str | Path] | None = None, missing: Missing = "error",
                lead_map: Mapping[str, str] | None = None, overwrite: bool = False,
                progress: Progress = lambda done, total: None) -> Store:
    """Prepares WFDB records as a store.

    Finished parts are kept in OUT.partial: a build that was interrupted continues when it is called again.

    Args:
        source: A folder with records, or one record.
        out: The folder of the store.
        rate: The sampling rate of the store in Hz.
        leads: The leads of the store: names, or a text as for `parse_leads`.
        window: Length in seconds of the windows into which records are cut; by default they stay whole.
        workers: Number of processes; by default one per CPU.
        labels: A DataFrame indexed by record name (its path below `source`, without suffix), such as from
            `read_table`. Its columns become columns of the store's table of records.
        records: The records to prepare; by default all below `source`.
        missing: "error" skips a record that lacks a lead; "zero" sets the lead to 0 mV.
        lead_map: Leads by channel name, for channels that are not named after their leads.
        overwrite: Whether to replace a store that exists.
        progress: Called with the number of records done and their total.

    Returns:
        The store. `skipped.csv` in its folder lists the records that could not be used. With labels, its manifest has
        counts: "unmatched_rows" (rows of the labels without a record), "unlabelled_records" and
        "patients_in_several_splits".

    Raises:
        ValueError: An option is wrong, no record can be used, or the labels or the lead map fit no record.
        FileExistsError: `out` exists, and `overwrite` is False.
    """
    source, out = as_path(source, "source"), as_path(out, "output")
    layout = Layout(as_leads(leads), rate, window, missing, standardize_lead_map(lead_map) if lead_map else None)
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ValueError(f"{workers!r:.60} workers; wanted a number of 1 or more")
    check_replaceable(out, overwrite)
    named, duplicates = name_records(source, find_records(source) if records is None else records)
    if layout.lead_map:
        check_lead_map(channel_names(named), layout.lead_map)
    merge = plan_merge(source, layout, labels, named)
    job = {**layout.fingerprint, "records": fingerprint(named)}
    with Parts(out.with_name(out.name + ".partial"), job, overwrite) as parts:
        prepare_parts(parts, list(batched(named)), layout, workers or available_cpus(), progress)
        try:
            merge_parts(parts, out, merge, duplicates)
        except NoUsableRecords:
            parts.remove()
            raise
        parts.remove()
    return Store(out)


def plan_merge(source: Path, layout: Layout, labels: "pandas.DataFrame | None", named: list[NamedPath]) -> Merge:
    """The merge of a store's parts; ValueError if the labels fit no record."""
    facts: dict[str, Any] = {"lead_map": layout.lead_map} if layout.lead_map else {}
    if labels is not None:
        labels, counts = match_labels(labels, [name for name, _ in named])
        facts |= counts
    return Merge(layout.leads, layout.rate, layout.window, str(source), labels, facts)


def merge_parts(parts: Parts, out: Path, merge: Merge, duplicates: list[tuple[str, str]]) -> None:
    """Joins the parts and moves the result to `out`; a store that it replaces is kept until then."""
    merged, old = parts.folder / "store", parts.folder / "replaced"
    remove(merged)
    write_atomically(merged, lambda folder: merge.write(folder, parts.paths(), duplicates))
    if out.exists():
        remove(old)
        os.replace(out, old)
    os.replace(merged, out)


def check_replaceable(out: Path, overwrite: bool) -> None:
    """Raises FileExistsError if an output exists, unless it is a store that may be overwritten."""
    check_free(out, overwrite)
    if out.exists() and not (out / "manifest.json").is_file():
        raise FileExistsError(f"{out} exists and is not a store; --overwrite doesn't delete it")


def batched(named: list[NamedPath]) -> Iterator[list[NamedPath]]:
    """Batches of records, limited in count and in bytes. They do not depend on the number of workers."""
    batch: list[NamedPath] = []
    size = 0
    for name, path in named:
        batch.append((name, path))
        size += sum(file.st_size for file in file_status(path))
        if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def prepare_parts(
    parts: Parts, batches: list[list[NamedPath]], layout: Layout, workers: int, progress: Progress
) -> None:
    """Prepares the batches that are not finished."""
    pending = parts.pending(len(batches))
    total = sum(map(len, batches))
    done = total - sum(len(batches[index]) for index in pending)
    progress(done, total)
    arguments = [(parts.path(index), batches[index], layout) for index in pending]
    with closing(run_parallel(prepare_part, arguments, workers)) as counts:
        for count in counts:
            done += count
            progress(done, total)


def prepare_part(part: Path, batch: list[NamedPath], layout: Layout) -> int:
    """Writes a part: a folder with the samples of a batch of records, their rows, and the skipped records."""
    def write(folder: Path) -> None:
        folder.mkdir()
        rows: list[dict] = []
        skipped = []
        with open(folder / "signals", "wb") as signals:
            for name, path in batch:
                start = signals.tell()
                try:
                    rows += append_record(signals, name, path, layout)
                except UnusableRecord as error:
                    signals.seek(start)
                    signals.truncate()
                    skipped.append((f"{name}.hea", str(error)))
        (folder / "rows.json").write_text(json.dumps({"rows": rows, "skipped": skipped}))

    write_atomically(part, write)
    return len(batch)


def append_record(signals: BinaryIO, name: str, path: Path, layout: Layout) -> list[dict]:
    """Appends the samples of a record to a file, block by block.

    Returns:
        A row of the store's table for each window, or one for the whole record.
    """
    frame = 2 * len(layout.leads)
    first, clipped = signals.tell() // frame, np.zeros(len(layout.leads), int)
    notes: list[str] = []
    record, blocks = open_blocks(path, layout)
    for block in blocks:
        microvolts = np.rint(block.signal * MICROVOLTS_PER_MV)
        clipped += (np.abs(microvolts) > MAX_STORED_UV).sum(axis=1)
        signals.write(np.clip(microvolts, -MAX_STORED_UV, MAX_STORED_UV).T.astype("<i2").tobytes())
        notes += block.notes
    notes += [f"{lead}: {count} samples clipped at {MAX_STORED_UV / MICROVOLTS_PER_MV} mV"
              for lead, count in zip(layout.leads, clipped, strict=True) if count]
    samples = signals.tell() // frame - first
    window = min(layout.window_samples or samples, samples)
    if rest := samples % window:
        notes.append(f"last {rest / layout.rate:.2f} s left out, shorter than a window")
        signals.seek((first + samples - rest) * frame)
        signals.truncate()
    source = {"rate": record.rate, "samples": record.samples, "comments": record.comments}
    return [{"name": name, "start": start, "offset": first + start, "length": window, **source,
             "notes": [] if start else notes} for start in range(0, samples - rest, window)]


def open_blocks(path: Path, layout: Layout) -> tuple[RecordFile, Iterator[Conformed]]:
    """Opens a record and conforms it block by block. Errors become UnusableRecord, which does not end the job."""
    def blocks() -> Iterator[Conformed]:
        try:
            yield from conform_stream(record, spec, layout.missing, refit=False, lead_map=layout.lead_map)
        except Exception as error:
            raise UnusableRecord(error_text(error)) from error

    spec = SignalSpec(leads=layout.leads, rate=layout.rate)
    try:
        record = open_record(path)
    except Exception as error:
        raise UnusableRecord(error_text(error)) from error
    return record, blocks()
