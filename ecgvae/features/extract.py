"""The shortest way from ECGs to features: files, stores, records or arrays to a table or an array."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
from torch import Tensor

from ecgvae.data.collection import Collection
from ecgvae.data.errors import NoUsableRecords
from ecgvae.data.jobs import Progress, no_progress
from ecgvae.data.store import Store
from ecgvae.features.extractor import WINDOW_SECONDS, Extractor, RecordFeatures
from ecgvae.signal import Missing, Record, RecordFile
from ecgvae.tokenizer.arrays import Array, array_to_records
from ecgvae.wording import quote

if TYPE_CHECKING:
    import pandas

DEFAULT_MODEL = "ptbxl-vqvae-conv"
Source: TypeAlias = Union[str, Path, Store, Record, RecordFile, Array, "Sequence[Any]"]
BATCH_RECORDS, BATCH_SAMPLES = 512, 1 << 25         # that are in memory at a time
Opener: TypeAlias = Callable[[], Record | RecordFile]


def extract(source: Source, model: str | Path | Extractor = DEFAULT_MODEL, *, rate: float | None = None,
            leads: Sequence[str] | None = None, layers: Sequence[str] | None = None, pool: str = "stats",
            window: float | None = WINDOW_SECONDS, missing: Missing = "error",
            lead_map: Mapping[str, str] | None = None, any_amplitude: bool = False, device: str = "auto",
            on_error: Callable[[str, Exception], object] | None = None, progress: Progress = no_progress) -> Any:
    """Features of ECGs by a pretrained encoder, for any classifier.

    Args:
        source: WFDB records, folders of them or stores (one path or several), a `Store`, a record or several; or an
            array or tensor in mV of shape (c, t) or (n, c, t), or a list of arrays (c, t) of any lengths.
        model: The name of a shipped model, a model or run folder, or an `Extractor`, which has the next options.
        rate: Sampling rate of arrays in Hz.
        leads: Names of the leads of arrays; a text like "I,II,V1" or "standard-12" will do.
        layers: Names of layers, see `Autoencoder.feature_maps`; by default the one in the middle of the encoder.
        pool: How frames are pooled: "stats", "mean-std" or "mean".
        window: Length of a window in seconds, each of which gives a row; None for one row a record.
        missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
        lead_map: Leads by channel name, for channels that are not named after their leads.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
        device: A device by torch's name, or "auto" for a GPU if there is one.
        on_error: Called with the name of a record that cannot be used and the reason; the record is then left out.
            Without it the reason is raised.
        progress: Called with the number of records done and their total.

    Returns:
        For arrays an array (rows, features) of float32. For everything else a DataFrame with a row for each window:
        the columns `record`, `start` and `end` in seconds, and `notes` on repairs; then a column for each feature.

    Raises:
        FileNotFoundError: There is no such source or model.
        NoUsableRecords: No record can be used.
        ValueError: A record cannot be used (without `on_error`), an array lacks rate or leads, or an option is wrong.
    """
    extractor = model if isinstance(model, Extractor) else Extractor.load(model, layers, pool, window, device)
    options: dict[str, Any] = {"missing": missing, "lead_map": lead_map, "any_amplitude": any_amplitude}
    if is_array(source):
        records = arrays_to_records(source, rate, leads)
        return np.concatenate([features.values for features in extractor.extract(records, **options)])
    if rate is not None or leads is not None:
        raise ValueError("rate= or leads= came with records, which know theirs; wanted them with arrays only")
    return feature_table(extractor, list(extract_records(extractor, source, options, on_error, progress)))


def is_array(source: Any) -> bool:
    """Whether a source is an array, a tensor, or a list of these."""
    items = source if isinstance(source, list | tuple) else [source]
    return bool(items) and all(isinstance(item, np.ndarray | Tensor) for item in items)


def arrays_to_records(source: Any, rate: float | None, leads: Sequence[str] | None) -> list[Record]:
    """The records in an array (c, t) or (n, c, t), or in a list of arrays (c, t)."""
    if not isinstance(source, list | tuple):
        return array_to_records(source, rate, leads)
    if wrong := [item.shape for item in source if item.ndim != 2]:
        raise ValueError(f"a list with an array of shape {tuple(wrong[0])}; wanted (leads, samples) each")
    return [record for item in source for record in array_to_records(item, rate, leads)]


def extract_records(extractor: Extractor, source: Any, options: dict[str, Any],
                    on_error: Callable[[str, Exception], object] | None, progress: Progress
                    ) -> Iterator[RecordFeatures]:
    """The features of records, files and rows of stores, a batch of them in memory at a time."""
    batches, total = open_batches(source)
    done = 0
    for batch in batches:
        names: list[str] = []
        opened: list[Record | RecordFile] = []
        for name, open_record in batch:
            try:
                opened.append(open_record())
                names.append(name)
            except (ValueError, OSError) as error:
                if on_error is None:
                    raise
                on_error(name, error)
        report = None if on_error is None else lambda index, error, names=names: on_error(names[index], error)
        yield from extractor.extract(opened, on_error=report, **options)
        done += len(batch)
        progress(done, total)


def open_batches(source: Any) -> tuple[Iterator[list[tuple[str, Opener]]], int]:
    """The names of a source's records with functions that open them, in batches, and their number."""
    if isinstance(source, Record | RecordFile | Store | str | Path):
        source = [source]
    items = list(source) if isinstance(source, Iterable) else []
    if items and all(isinstance(item, Record | RecordFile) for item in items):
        records: list[tuple[str, Opener]] = [(item.name, partial(identity, item)) for item in items]
        return (records[first:first + BATCH_RECORDS] for first in range(0, len(records), BATCH_RECORDS)), len(records)
    if not items or not all(isinstance(item, str | Path | Store) for item in items):
        raise ValueError(f"got {quote(source)}; wanted paths, a store, records or arrays")
    collection = Collection(item.path if isinstance(item, Store) else item for item in items)
    batches = collection.batches(BATCH_RECORDS, BATCH_SAMPLES)
    return ([(entry.name, partial(collection.open, entry)) for entry in batch] for batch in batches), len(collection)


def identity(record: Record | RecordFile) -> Record | RecordFile:
    """The record itself, for records that are open."""
    return record


def feature_table(extractor: Extractor, records: list[RecordFeatures]) -> "pandas.DataFrame":
    """A table with a row for each window; NoUsableRecords if there are none."""
    import pandas

    if not records:
        raise NoUsableRecords(())
    counts = [len(features.values) for features in records]
    facts = {"record": np.repeat([features.name for features in records], counts),
             **dict(zip(("start", "end"), np.concatenate([features.seconds for features in records]).T, strict=True)),
             "notes": [list(features.notes) for features in records for _ in features.values]}
    values = pandas.DataFrame(np.concatenate([features.values for features in records]), columns=extractor.names)
    return pandas.concat([pandas.DataFrame(facts), values], axis=1)
