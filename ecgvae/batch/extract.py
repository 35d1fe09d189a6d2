"""Collections of records to files of features, in parts, by one process or several."""

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgvae.batch.job import CollectionJob, Skipped, join_facts, read_facts
from ecgvae.batch.summary import Summary
from ecgvae.data.collection import Collection, Entry
from ecgvae.data.errors import NoUsableRecords, Remarks, error_text
from ecgvae.data.jobs import Parts, Progress, no_progress
from ecgvae.features import Extractor
from ecgvae.features.extract import feature_table
from ecgvae.files import check_free, write_atomically
from ecgvae.signal import Missing, Record, RecordFile

if TYPE_CHECKING:
    import pandas

FORMATS = (".parquet", ".npz")
METADATA_KEY = "ecgvae.features"
PART = "features.parquet"


@dataclass(frozen=True)
class ExtractedSummary(Summary):
    """The result of `extract_files`.

    Attributes:
        rows: Number of rows, one for each window.
        remarks: What else users should know, as `Collection.remarks`.
        passed_over: (source, remark) about files that are no WFDB records.
    """

    rows: int = 0
    remarks: tuple[str, ...] = ()
    passed_over: Remarks = ()


@dataclass(frozen=True)
class FeatureHeader:
    """What a file of features says about itself, as JSON: in Parquet's metadata, or in the array `about` of an .npz."""

    model: str
    identity: str
    layers: tuple[str, ...]
    pool: str
    window: float | None
    format: int = 1


def extract_files(sources: Iterable[str | Path], out: str | Path, extractor: Extractor, *, missing: Missing = "error",
                  lead_map: Mapping[str, str] | None = None, any_amplitude: bool = False, batch_size: int = 64,
                  overwrite: bool = False, progress: Progress = no_progress) -> ExtractedSummary | None:
    """Writes the features of records, folders of records and stores to one file, in bounded memory.

    An interrupted job continues from OUT.partial when it is called again. Under `accelerate launch` each process
    takes its share.

    Args:
        sources: WFDB records, folders of them, and stores.
        out: The file to write: .parquet with the columns of `ecgvae.extract`; or .npz with the arrays `features`
            (rows, features), `names`, `record`, `start`, `end` and `about`.
        extractor: The encoder, its layers and the pooling.
        missing: What to do with a record that lacks a lead: "error" skips it, "zero" sets the lead to 0 mV.
        lead_map: Leads by channel name, for channels that are not named after their leads.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
        batch_size: Windows that go through the model together.
        overwrite: Whether to replace a file that exists.
        progress: Called with the number of records done and their total.

    Returns:
        The summary; None in all processes but the first.

    Raises:
        FileExistsError: The file exists.
        ValueError: The file is of another format, or the lead map applies to no record.
        NoUsableRecords: No record can be used.
    """
    out = Path(out)
    if out.suffix not in FORMATS:
        raise ValueError(f"{out} is not a {' or '.join(FORMATS)} file")
    check_free(out, overwrite)
    job = ExtractJob(Collection(sources), extractor, missing, lead_map, any_amplitude, batch_size)
    if lead_map:
        job.collection.check_lead_map(lead_map)
    return job.run(out, overwrite, progress)


@dataclass(frozen=True)
class ExtractJob(CollectionJob):
    """How the records of a collection become features."""

    collection: Collection
    extractor: Extractor
    missing: Missing
    lead_map: Mapping[str, str] | None
    any_amplitude: bool
    batch_size: int

    @property
    def header(self) -> FeatureHeader:
        """The facts about the features."""
        extractor = self.extractor
        return FeatureHeader(extractor.name, extractor.identity, extractor.layers, extractor.pool, extractor.window)

    @property
    def fingerprint(self) -> dict:
        return {"records": self.collection.fingerprint, **asdict(self.header), "missing": self.missing,
                "lead_map": dict(self.lead_map or {}), "any_amplitude": self.any_amplitude}

    def write_records(self, entries: list[Entry], records: list[Record | RecordFile], folder: Path, skipped: Skipped
                      ) -> dict[str, Any]:
        errors: dict[int, Exception] = {}
        found = self.extractor.extract(records, self.missing, self.lead_map, self.any_amplitude, self.batch_size,
                                       errors.__setitem__)
        skipped += [(entries[index].name, error_text(error)) for index, error in errors.items()]
        if found:
            feature_table(self.extractor, found).to_parquet(folder / PART, index=False)
        return {"records": len(found), "rows": sum(len(features.values) for features in found),
                "seconds": sum(float(features.seconds[-1, 1]) for features in found),
                "noted": [(features.name, note) for features in found for note in features.notes]}

    def merge(self, parts: Parts, out: Path, overwrite: bool) -> ExtractedSummary:
        facts = read_facts(parts)
        records, rows, seconds = (sum(part[key] for part in facts) for key in ("records", "rows", "seconds"))
        skipped, noted = (join_facts(facts, key) for key in ("skipped", "noted"))
        if not records:
            parts.remove()
            raise NoUsableRecords(skipped)
        paths = [path / PART for path in parts.paths() if (path / PART).exists()]
        about = json.dumps(asdict(self.header))
        write = write_parquet if out.suffix == ".parquet" else write_npz
        check_free(out, overwrite)
        write_atomically(out, lambda partial: write(paths, partial, about, rows))
        parts.remove()
        return ExtractedSummary(out, records, seconds, skipped, noted, rows, tuple(self.collection.remarks),
                                tuple(self.collection.passed_over))


def write_parquet(paths: list[Path], out: Path, about: str, rows: int) -> None:
    """Writes the tables of all parts to one file, one in memory at a time."""
    from pyarrow import parquet

    schema = parquet.read_schema(paths[0])
    schema = schema.with_metadata({**(schema.metadata or {}), METADATA_KEY: about})
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        for path in paths:
            writer.write_table(parquet.read_table(path).replace_schema_metadata(schema.metadata))


def write_npz(paths: list[Path], out: Path, about: str, rows: int) -> None:
    """Writes the tables of all parts as arrays, one table in memory at a time."""
    from pyarrow import parquet

    names = [name for name in parquet.read_schema(paths[0]).names if name not in ("record", "start", "end", "notes")]
    facts = [parquet.read_table(path, columns=["record", "start", "end"]).to_pandas() for path in paths]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (rows, len(names))}
            np.lib.format.write_array_header_1_0(file, header)
            for table in read_features(paths, names):
                file.write(np.ascontiguousarray(table.to_numpy(np.float32), "<f4").tobytes())
        arrays = {name: np.concatenate([table[name].to_numpy() for table in facts]) for name in ("record", "start",
                                                                                                 "end")}
        arrays |= {"names": np.array(names), "about": np.array(about)}
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                plain = array.astype(str) if array.dtype == object else array       # no pickles
                np.lib.format.write_array(file, plain, allow_pickle=False)


def read_features(paths: list[Path], names: list[str]) -> "Iterator[pandas.DataFrame]":
    """The features of each part."""
    from pyarrow import parquet

    for path in paths:
        yield parquet.read_table(path, columns=names).to_pandas()
