"""Building a store from WFDB records: in batches, by several processes, resumable."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.data.errors import NoUsableRecords
from ecgvae.data.jobs import Parts, Progress, available_cpus, no_progress, open_parts, run_parallel
from ecgvae.data.layout import Layout, as_leads, as_path
from ecgvae.data.merge import Merge, check_storable
from ecgvae.data.naming import NamedPath, channel_names, file_status, fingerprint, name_records
from ecgvae.data.part import prepare_part
from ecgvae.data.remarks import folds_remark, rates_remark
from ecgvae.data.store import Store
from ecgvae.data.table import has_splits, match_labels
from ecgvae.files import check_free, remove, write_atomically
from ecgvae.signal import LEADS_12, check_lead_map, standardize_lead_map
from ecgvae.signal.conform import Missing
from ecgvae.signal.formats import passed_over
from ecgvae.signal.reading import Search, search_records

if TYPE_CHECKING:
    import pandas

BATCH_RECORDS = 64
BATCH_BYTES = 4_000_000


def build_store(source: str | Path, out: str | Path, *, rate: float = 100, leads: str | Iterable[str] = LEADS_12,
                window: float | None = None, workers: int | None = None, labels: "pandas.DataFrame | None" = None,
                records: Iterable[str | Path] | None = None, missing: Missing = "error",
                lead_map: Mapping[str, str] | None = None, comments: bool = True, any_amplitude: bool = False,
                remarks: Iterable[str] = (), overwrite: bool = False, progress: Progress = no_progress) -> Store:
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
        comments: Whether the store keeps the comments of headers, which may have the age, the sex and drugs.
        any_amplitude: Whether records whose amplitudes cannot be those of an ECG in mV are used.
        remarks: What users of the store should know, to be added to its `remarks`.
        overwrite: Whether to replace a store that exists.
        progress: Called with the number of records done and their total.

    Returns:
        The store. `skipped.csv` in its folder lists the records that could not be used, and the notes about the others,
        such as that they were resampled. Its `remarks` tell what else its user should know. With labels, its manifest
        has counts: "unmatched_rows" (rows of the labels without a record), "unlabelled_records" and
        "patients_in_several_splits".

    Warns:
        UserWarning: Records are named like PTB-XL's, and the labels have no folds: patients may be in several splits.
            `ecgvae.resources.load_prepare("ptbxl")` takes PTB-XL's labels, patients and folds.

    Raises:
        ValueError: An option is wrong, no record can be used, or the labels or the lead map fit no record.
        FileExistsError: `out` exists, and `overwrite` is False.
    """
    source, out = as_path(source, "source"), as_path(out, "output")
    lead_map = standardize_lead_map(lead_map) if lead_map else None
    layout = Layout(as_leads(leads), rate, window, missing, lead_map, comments, any_amplitude)
    if workers is not None and not (isinstance(workers, int) and workers >= 1):
        raise ValueError(f"{workers!r:.60} workers; wanted a number of 1 or more")
    check_replaceable(out, overwrite)
    found = search_records(source) if records is None else Search(list(map(Path, records)))
    named, duplicates = name_records(source, found.paths)
    if layout.lead_map:
        check_lead_map(channel_names(named), layout.lead_map)
    merge = plan_merge(source, layout, labels, named, list(remarks), passed_over(found.others))
    job = {**layout.fingerprint, "records": fingerprint(named)}
    with open_parts(out, job, overwrite) as parts:
        prepare_parts(parts, list(batched(named)), layout, workers or available_cpus(), progress)
        try:
            merge_parts(parts, out, merge, duplicates)
        except NoUsableRecords:
            parts.remove()
            raise
        parts.remove()
    return Store(out)


def plan_merge(source: Path, layout: Layout, labels: "pandas.DataFrame | None", named: list[NamedPath],
               remarks: list[str], others: list[str]) -> Merge:
    """The merge of a store's parts; ValueError if the labels fit no record."""
    facts: dict[str, Any] = {"lead_map": layout.lead_map} if layout.lead_map else {}
    names = [name for name, _ in named]
    if labels is not None:
        labels, counts = match_labels(labels, names)
        check_storable(labels)
        facts |= counts
    if not has_splits(labels):
        facts["random_split"] = "patient" if labels is not None and "patient" in labels else "record"
    without_folds = folds_remark(names, labels)
    for remark in without_folds:
        warnings.warn(remark, stacklevel=3)
    facts["remarks"] = [*remarks, *others, *rates_remark(names), *without_folds]
    return Merge(layout.leads, layout.rate, layout.window, str(source), labels, facts, others)


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
