"""Joining the parts of a prepared store: signals, table, manifest, and the list of skipped records."""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgvae.data.errors import NoUsableRecords, first_line
from ecgvae.data.manifest import FORMAT
from ecgvae.data.table import ORIGIN_COLUMNS, STORE_COLUMNS
from ecgvae.files import write_atomically

if TYPE_CHECKING:
    import pandas

COPY_BYTES = 1 << 22  # bytes copied at a time


@dataclass(frozen=True)
class Merge:
    """Joins parts into a store. The fields are facts about the store that are not in its parts."""

    leads: tuple[str, ...]
    rate: float
    window: float | None
    source: str
    labels: "pandas.DataFrame | None" = None  # indexed by record name
    facts: Mapping[str, Any] = field(default_factory=dict)  # further entries of the manifest
    passed_over: Sequence[str] = ()  # remarks about files that are no records

    def write(self, folder: Path, parts: list[Path], skipped: list[tuple[str, str]]) -> None:
        """Writes the store to a new folder.

        Args:
            folder: The folder.
            parts: The folders of the parts, in order.
            skipped: (name, reason) of records that are in no part. skipped.csv lists them and those of the parts, and
                the notes about the others.

        Raises:
            NoUsableRecords: The parts have no records.
        """
        rows, total = [], 0
        for path in parts:
            part = json.loads((path / "rows.json").read_text())
            rows += [{**row, "offset": row["offset"] + total} for row in part["rows"]]
            total += sum(row["length"] for row in part["rows"])
            skipped = skipped + part["skipped"]
        if not rows:
            raise NoUsableRecords(skipped, self.source)
        folder.mkdir()
        digest = hashlib.sha256(json.dumps([self.leads, self.rate]).encode())
        digest.update(json.dumps([(row["name"], row["start"], row["length"]) for row in rows]).encode())
        signals = [path / "signals" for path in parts]
        join_signals(signals, folder / "signals.npy", (total, len(self.leads)), digest)
        write_table(rows, self.labels, folder / "records.parquet", self.origin_columns)
        notes = [(row["name"], note) for row in rows for note in row["notes"]]
        write_skipped(skipped, folder / "skipped.csv", notes, [(self.source, line) for line in self.passed_over])
        counts = {"records": len(rows), "samples": total, "skipped": len(skipped)}
        self.write_manifest(folder / "manifest.json", counts | {"fingerprint": digest.hexdigest()[:32]})

    @property
    def origin_columns(self) -> list[str]:
        """The columns about the origin of rows, without those whose names the labels have."""
        return [name for name in ORIGIN_COLUMNS if self.labels is None or name not in self.labels]

    def write_manifest(self, path: Path, counts: dict[str, Any]) -> None:
        """Writes manifest.json with the facts about the store and the counts of its records and samples."""
        from ecgvae import __version__

        manifest = {
            "format": FORMAT,
            "leads": self.leads,
            "rate": self.rate,
            "unit": "uV",
            "window": self.window,
            "source": self.source,
            **counts,
            "origin_columns": self.origin_columns,
            **self.facts,
            "versions": {"ecgvae": __version__, "numpy": np.__version__},
        }
        path.write_text(json.dumps(manifest, indent=1) + "\n")


def join_signals(paths: list[Path], out: Path, shape: tuple[int, int], digest: "hashlib._Hash") -> None:
    """Concatenates raw int16 files to one .npy file of this shape, and adds their bytes to `digest`."""
    with open(out, "wb") as joined:
        np.lib.format.write_array_header_1_0(joined, {"descr": "<i2", "fortran_order": False, "shape": shape})
        for path in paths:
            with open(path, "rb") as part:
                while chunk := part.read(COPY_BYTES):
                    joined.write(chunk)
                    digest.update(chunk)


def write_table(rows: list[dict], labels: "pandas.DataFrame | None", path: Path,
                origin_columns: Sequence[str] = ()) -> None:
    """Writes the rows, each with the labels of its record, as Parquet."""
    import pandas
    import pyarrow
    from pyarrow import parquet

    frame = pandas.DataFrame(rows, columns=list(STORE_COLUMNS))
    texts = pyarrow.list_(pyarrow.string())
    types = {"start_time": pyarrow.string(), "source_leads": texts}
    origin = {name: pyarrow.array([row.get(name) for row in rows], types[name]) for name in origin_columns}
    if labels is not None:  # convert_dtypes keeps integers where some are missing
        frame = frame.join(labels.convert_dtypes(), on="name")
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    empty = pyarrow.list_(pyarrow.null())
    fields = [field.with_type(texts) if field.type == empty else field for field in table.schema]
    table = table.cast(pyarrow.schema(fields, table.schema.metadata))
    for name, values in origin.items():
        table = table.append_column(name, values)
    parquet.write_table(table, path)


def check_storable(labels: "pandas.DataFrame") -> None:
    """Raises ValueError if a column of labels has values that Parquet can't hold, before records are prepared."""
    import pyarrow

    for name, column in labels.convert_dtypes().items():
        try:
            pyarrow.array(column, from_pandas=True)
        except Exception as error:  # pyarrow raises errors of many types on values it can't convert
            raise ValueError(f"the column {name!s:.60} of the labels can't be stored: {first_line(error):.200}"
                             ) from None


def write_skipped(skipped: Iterable[tuple[str, str]], path: Path, notes: Iterable[tuple[str, str]] = (),
                  passed_over: Iterable[tuple[str, str]] = ()) -> None:
    """Writes a CSV file with the columns `path`, `reason` and `kind`, atomically.

    Args:
        skipped: (name, reason) of skipped records.
        path: The file.
        notes: (name, note) of other records.
        passed_over: (folder, remark) about files that are no records.
    """
    kinds = {"skipped": skipped, "note": notes, "passed over": passed_over}
    rows = [(*item, kind) for kind, items in kinds.items() for item in items]

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file, lineterminator="\n").writerows([("path", "reason", "kind"), *rows])

    write_atomically(path, write)
