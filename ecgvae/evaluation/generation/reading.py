"""Samples of a generator from files: records, stores and token files, brought to one length."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgvae.data.collection import Collection, Entry
from ecgvae.data.conditions import column_labels
from ecgvae.data.errors import error_text
from ecgvae.data.jobs import Progress, no_progress
from ecgvae.data.tokens import TokenFile, open_tokens
from ecgvae.evaluation.generation.sets import LABEL_COLUMN, SECONDS, EcgSet
from ecgvae.evaluation.probe import CLASSES
from ecgvae.signal import Record, RecordFile, SignalSpec, conform
from ecgvae.signal.generated import generated_note, read_condition
from ecgvae.tokenizer import Tokenizer, load_tokenizer

MAX_RECORDS = 10_000        # of a set of samples (480 MB for 12 leads at 100 Hz)


@dataclass(frozen=True)
class Sample:
    """A record of a collection or of a token file, or why it can't be read, with its labels if they are known."""

    name: str
    record: Record | RecordFile | None
    reason: str = ""
    labels: tuple[str, ...] | None = None


def read_samples(path: str | Path, leads: tuple[str, ...], rate: float, seconds: float = SECONDS,
                 tokenizer: Tokenizer | None = None, progress: Progress = no_progress) -> EcgSet:
    """Samples from WFDB records, a store or a token file, brought to some leads and a rate.

    Each ECG is cut to `seconds`, or to the most frequent length of the samples if that is shorter; shorter ones are
    left out. Labels come from the condition in the header of a record (see `read_condition`), or from the column
    `superclass` of a store.

    Args:
        path: A record, a folder of records, a store or a token file (.parquet).
        leads: The leads that are wanted.
        rate: The rate that is wanted in Hz.
        seconds: Largest length of each ECG.
        tokenizer: The tokenizer of a token file; by default the one that it names.
        progress: Called with the number of records done and their total.

    Raises:
        FileNotFoundError: There is nothing at the path.
        ValueError: No record can be used.
    """
    spec, signals, kept = SignalSpec(leads=leads, rate=rate), [], []
    left_out: list[tuple[str, str]] = []
    notes: list[tuple[str, str]] = []
    for sample in open_samples(Path(path), tokenizer, progress):
        try:
            record = read_beginning(sample, seconds)
            conformed = conform(record, spec, refit=False)
        except (ValueError, OSError) as error:
            left_out.append((sample.name, error_text(error)))
            continue
        expected = generated_note(record.comments)
        notes += [(sample.name, note) for note in conformed.notes if note != expected]
        signals.append(conformed.signal)
        kept.append(sample)
    if not kept:
        reason = f": {left_out[0][0]}: {left_out[0][1]}" if left_out else ""
        raise ValueError(f"{path} has no usable samples{reason}")
    length = min(round(seconds * rate), Counter(signal.shape[1] for signal in signals).most_common(1)[0][0])
    long_enough = [index for index, signal in enumerate(signals) if signal.shape[1] >= length]
    left_out += [(sample.name, f"{signal.shape[1] / rate:g} s long; wanted {length / rate:g} s")
                 for sample, signal in zip(kept, signals, strict=True) if signal.shape[1] < length]
    kept = [kept[index] for index in long_enough]
    stacked = np.stack([signals[index][:, :length] for index in long_enough])
    return EcgSet("samples", stacked, rate, leads, class_table(kept), np.array([sample.name for sample in kept]),
                  tuple(left_out), tuple(notes))


def read_beginning(sample: Sample, seconds: float) -> Record:
    """The first seconds of a sample; ValueError if it can't be read."""
    if sample.record is None:
        raise ValueError(sample.reason)
    return sample.record.read(0, math.ceil(seconds * sample.record.rate))


def open_samples(path: Path, tokenizer: Tokenizer | None, progress: Progress) -> Iterator[Sample]:
    """The samples at a path, one by one; at most `MAX_RECORDS`."""
    if path.suffix == ".parquet":
        file = open_tokens(path)
        samples, total = decode_samples(file, tokenizer or load_tokenizer(file, device="cpu")), len(file)
    else:
        collection = Collection([path])
        samples, total = open_collection(collection), len(collection)
    for index, sample in enumerate(samples):
        if index == MAX_RECORDS:
            return
        yield sample
        progress(index + 1, min(total, MAX_RECORDS))


def decode_samples(file: TokenFile, tokenizer: Tokenizer) -> Iterator[Sample]:
    """The samples that the tokens of a file decode to, with all leads of the tokenizer."""
    for tokens in file:
        yield Sample(tokens.name, tokenizer.decode(tokens, all_leads=True), labels=condition_labels(tokens.comments))


def open_collection(collection: Collection) -> Iterator[Sample]:
    """The records of a collection with their labels, or with the reasons why they can't be opened."""
    columns = {path: column_labels(store, LABEL_COLUMN) for path, store in collection.stores.items()
               if LABEL_COLUMN in store.records}
    for entry in collection.entries:
        try:
            record = collection.open(entry)
            yield Sample(entry.name, record, labels=entry_labels(entry, record, columns))
        except (ValueError, OSError) as error:
            yield Sample(entry.name, None, error_text(error))


def entry_labels(entry: Entry, record: Record | RecordFile, columns: Mapping[Path, list[tuple[str, ...]]]
                 ) -> tuple[str, ...] | None:
    """The superclasses of a record: from its store's column, else from its condition; None if they are unknown."""
    if entry.row is not None and entry.path in columns:
        return columns[entry.path][entry.row]
    return condition_labels(record.comments)


def condition_labels(comments: tuple[str, ...]) -> tuple[str, ...] | None:
    """The superclasses in the condition of a record's comments; None if its condition has no superclasses."""
    condition = read_condition(comments)
    return condition["labels"] if condition["column"] == LABEL_COLUMN else None


def class_table(samples: list[Sample]) -> np.ndarray | None:
    """Whether each sample has each class (n, classes); None if no sample has labels."""
    if not any(sample.labels for sample in samples):
        return None
    return np.array([[name in (sample.labels or ()) for name in CLASSES] for sample in samples], bool)
