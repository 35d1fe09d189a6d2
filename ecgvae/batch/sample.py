"""A folder of generated records, with a table of their labels, their tokens and a picture of the first ones."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ecgvae.data.errors import check_folder
from ecgvae.data.jobs import Progress, no_progress
from ecgvae.data.table import LIST_SEPARATOR
from ecgvae.data.tokens import Tokens, write_tokens
from ecgvae.files import name_errors, remove, replace_folder
from ecgvae.generation import Prior, Sample, SampleRequest
from ecgvae.generation.request import GPU_BLOCK
from ecgvae.plotting.contact_sheet import plot_contact_sheet
from ecgvae.priors import TokenPrior
from ecgvae.signal import Record, write_record
from ecgvae.signal.generated import MAIN_COLUMN, is_generated
from ecgvae.signal.headers import read_header

RECORDS, LABELS, TOKENS, SHEET = "records", "labels.csv", "tokens.parquet", "sheet.png"
SHEET_RECORDS = 16
SHEET_COLUMNS = 4


@dataclass(frozen=True)
class SampleSummary:
    """The result of `sample_files`: the folder, the number of records in it, and their length in seconds of ECG."""

    out: Path
    records: int
    seconds: float


def sample_files(prior: Prior, request: SampleRequest, out: str | Path, *, batch_size: int = GPU_BLOCK,
                 overwrite: bool = False, progress: Progress = no_progress) -> SampleSummary:
    """Writes generated records as WFDB to the folder `records`, with their labels, tokens and a contact sheet.

    The folder OUT exists complete or not at all. Its `labels.csv` is a table for `build_store`; records are named
    relative to OUT. Tokens are written if the prior is over tokens.

    Args:
        prior: The prior.
        request: What is sampled.
        out: The folder to write.
        batch_size: Records that are drawn together on a GPU.
        overwrite: Whether to replace a folder of generated records.
        progress: Called with the number of records done and their total.

    Raises:
        FileExistsError: The folder exists.
        ValueError: It has files that are not of generated records, or the prior can't do what is requested.
    """
    out = check_replaced(out, overwrite)
    samples = prior.draw(request, batch_size, progress)
    temporary = out.with_name(out.name + ".tmp")
    remove(temporary)
    try:
        with name_errors(out):
            temporary.mkdir(parents=True)
            write_samples(prior, samples, temporary)
            replace_folder(temporary, out)
    except BaseException:
        remove(temporary)
        raise
    return SampleSummary(out, len(request.conditions), request.seconds * len(request.conditions))


def check_replaced(out: str | Path, overwrite: bool) -> Path:
    """The folder to write, which must not exist or, with `overwrite`, must have only what `sample_files` writes.

    Raises:
        FileExistsError: The folder exists and may not be overwritten.
        ValueError: It has other files.
    """
    out = check_folder(out, overwrite)
    if not out.exists():
        return out
    if os.path.samefile(out, os.curdir):
        raise ValueError(f"{out} is the current folder; wanted a new one")
    other = next((path for path in sorted(out.rglob("*")) if path.is_file() and not is_of_samples(path, out)), None)
    if other is not None:
        raise ValueError(f"{out} has a file that is not of generated records, {other}; give another --out")
    return out


def is_of_samples(path: Path, out: Path) -> bool:
    """Whether a file in a folder is one that `sample_files` writes, and no record that was not generated."""
    name = path.relative_to(out).as_posix()
    if name in (LABELS, TOKENS, SHEET):
        return True
    if path.parent != out / RECORDS or path.suffix not in (".hea", ".dat"):
        return False
    try:
        return is_generated(read_header(str(path.with_suffix(""))).comments)
    except (ValueError, OSError):
        return False


def write_samples(prior: Prior, samples: Iterator[Sample], folder: Path) -> None:
    """Writes all files of samples to a new folder."""
    shown: list[Record] = []
    titles: list[str] = []
    tokens: list[Tokens] = []
    rows: list[list[str]] = []
    for sample in samples:
        name = f"{RECORDS}/{sample.record.name}"
        write_record(sample.record, folder, name)
        rows.append([name, *label_cells(prior, sample)])
        if sample.tokens is not None:
            tokens.append(replace(sample.tokens, name=name))
        if len(shown) < SHEET_RECORDS:
            shown.append(sample.record)
            titles.append(title(prior, sample))
    with open(folder / LABELS, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["record", *label_columns(prior), "age", "sex"], *rows])
    if isinstance(prior.module, TokenPrior):
        write_tokens(folder / TOKENS, prior.token_header, tokens)
    plot_contact_sheet(shown, folder / SHEET, columns=SHEET_COLUMNS, titles=titles)


def label_columns(prior: Prior) -> tuple[str, ...]:
    """The columns of labels in the table of samples."""
    return prior.condition.columns if prior.condition and prior.condition.labels else (MAIN_COLUMN,)


def label_cells(prior: Prior, sample: Sample) -> list[str]:
    """The labels in each column, the age and the sex of a sample; empty where nothing was asked for."""
    condition = sample.condition
    labels = condition.columns(prior.condition) if prior.condition else {}
    cells = [LIST_SEPARATOR.join(labels.get(column, ())) for column in label_columns(prior)]
    return [*cells, "" if condition.age is None else f"{condition.age:g}", condition.sex or ""]


def title(prior: Prior, sample: Sample) -> str:
    """The name of a sample and what it was asked to be."""
    condition = sample.condition
    facts = [", ".join(condition.labels), "" if condition.age is None else f"{condition.age:g} years",
             condition.sex or ""]
    return " · ".join([sample.record.name, *(fact for fact in facts if fact)])
