"""Join the parts of a prepared store: signals, table, manifest, and the list of what was skipped."""

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgvae.data.store import FORMAT

COLUMNS = ("name", "start", "offset", "length", "rate", "samples", "notes", "comments")
CHUNK = 1 << 22  # bytes copied at a time


class NoUsableRecords(ValueError):
    """No record is left for a store."""


@dataclass(frozen=True)
class Merge:
    """What the parts themselves don't say about their store; labels is a DataFrame by record name."""

    leads: tuple[str, ...]
    rate: float
    window: float | None
    source: str
    labels: object = None

    def __post_init__(self) -> None:
        if self.labels is None:
            return
        if taken := sorted(set(self.labels.columns) & set(COLUMNS)):
            raise ValueError(f"labels have columns {', '.join(taken)}, as every store has; rename them")
        if not self.labels.index.is_unique:
            double = self.labels.index[self.labels.index.duplicated()][0]
            raise ValueError(f"labels have several rows for {double}; wanted one a record")

    def write(self, folder: Path, parts: list[Path], skipped: list[tuple[str, str]]) -> None:
        """Make `folder` the store of some parts; what was skipped beside them is listed too."""
        rows, total = [], 0
        for path in parts:
            part = json.loads((path / "rows.json").read_text())
            rows += [{**row, "offset": row["offset"] + total} for row in part["rows"]]
            total += sum(row["length"] for row in part["rows"])
            skipped = skipped + part["skipped"]
        if not rows:
            first = f"; the first is {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
            raise NoUsableRecords(f"none of {len(skipped)} records in {self.source} can be used{first}")
        folder.mkdir()
        digest = hashlib.sha256(json.dumps([self.leads, self.rate]).encode())
        digest.update(json.dumps([(row["name"], row["start"], row["length"]) for row in rows]).encode())
        signals = [path / "signals" for path in parts]
        join_signals(signals, folder / "signals.npy", (total, len(self.leads)), digest)
        write_table(rows, self.labels, folder / "records.parquet")
        write_skipped(skipped, folder / "skipped.csv")
        counts = {"records": len(rows), "samples": total, "skipped": len(skipped)}
        self.write_manifest(folder / "manifest.json", counts | {"fingerprint": digest.hexdigest()[:32]})

    def write_manifest(self, path: Path, facts: dict) -> None:
        from ecgvae import __version__

        manifest = {
            "format": FORMAT,
            "leads": self.leads,
            "rate": self.rate,
            "unit": "uV",
            "window": self.window,
            "source": self.source,
            **facts,
            "versions": {"ecgvae": __version__, "numpy": np.__version__},
        }
        path.write_text(json.dumps(manifest, indent=1) + "\n")


def join_signals(paths: list[Path], out: Path, shape: tuple[int, int], digest) -> None:
    """Write raw int16 files one after another as a single .npy, and add their bytes to `digest`."""
    with open(out, "wb") as joined:
        np.lib.format.write_array_header_1_0(joined, {"descr": "<i2", "fortran_order": False, "shape": shape})
        for path in paths:
            with open(path, "rb") as part:
                while chunk := part.read(CHUNK):
                    joined.write(chunk)
                    digest.update(chunk)


def write_table(rows: list[dict], labels, path: Path) -> None:
    """The rows, each with the labels of its record, as Parquet."""
    import pandas
    import pyarrow
    from pyarrow import parquet

    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    if labels is not None:  # whole numbers stay whole where some are unknown
        frame = frame.join(labels.convert_dtypes(), on="name")
    table = pyarrow.Table.from_pandas(frame, preserve_index=False)
    empty, texts = pyarrow.list_(pyarrow.null()), pyarrow.list_(pyarrow.string())
    fields = [field.with_type(texts) if field.type == empty else field for field in table.schema]
    parquet.write_table(table.cast(pyarrow.schema(fields, table.schema.metadata)), path)


def write_skipped(skipped: list[tuple[str, str]], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "reason"), *skipped])
