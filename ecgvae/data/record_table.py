"""records.parquet of a store: its table of records, checked before its values are used."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ecgvae.data.errors import first_line
from ecgvae.data.manifest import MAX_RATE, MIN_RATE
from ecgvae.data.table import STORE_COLUMNS
from ecgvae.files import check_regular

if TYPE_CHECKING:
    import pandas
    import pyarrow

REQUIRED_COLUMNS = ("name", "offset", "length")
MAX_REPETITION = 16  # of samples by overlapping rows; bounds the memory that rows need together
TEXTS = ("name", "start_time")
LISTS = ("notes", "comments", "source_leads")
LIMITS = {"start": (0, 1 << 53), "offset": (0, 1 << 62), "length": (1, 1 << 62), "samples": (0, 1 << 53)}


def read_records(path: Path, samples: int, rate: float, leads: Sequence[str], origin_columns: Sequence[str] = ()
                 ) -> "pandas.DataFrame":
    """Reads a store's table of records.

    Args:
        path: The file.
        samples: Number of samples of the store's signals, within which the rows must be.
        rate: The store's sampling rate in Hz.
        leads: Its leads.
        origin_columns: Further columns of the store, which it may lack.

    Raises:
        ValueError: The file is not such a table.
    """
    try:
        check_regular(path, "a table (Parquet)")
        with open(path, "rb") as file:
            check_columns(file, samples, leads, origin_columns)
            table = read_frame(file)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path.parent} is damaged: {path.name}: {first_line(error)}") from None
    empty: list[list[str]] = [[] for _ in range(len(table))]
    defaults = {"start": 0, "rate": rate, "samples": table["length"], "notes": empty, "comments": empty}
    return table.assign(**{name: values for name, values in defaults.items() if name not in table})


def read_frame(file: BinaryIO) -> "pandas.DataFrame":
    import pandas

    try:
        table = pandas.read_parquet(file)
    except Exception as error:  # pandas and pyarrow raise errors of many types on files they can't read
        raise ValueError(first_line(error)) from None
    if missing := sorted(set(REQUIRED_COLUMNS) - set(table.columns)):
        raise ValueError(f"no columns {', '.join(missing)}")
    return table


def check_columns(file: BinaryIO, samples: int, leads: Sequence[str], origin_columns: Sequence[str]) -> None:
    """Raises ValueError if a column of the store's own has other types, missing values or impossible ones."""
    from pyarrow import parquet

    try:
        parsed = parquet.ParquetFile(file)
        names, count = parsed.schema_arrow.names, parsed.metadata.num_rows
        if missing := sorted(set(REQUIRED_COLUMNS) - set(names)):
            raise ValueError(f"no columns {', '.join(missing)}")
        if repeated := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"several columns {repeated[0]:.60}")
        if count > samples:
            raise ValueError(f"{count} rows for {samples} samples")
        table = parsed.read(columns=[name for name in (*STORE_COLUMNS, *origin_columns) if name in names])
    except Exception as error:
        raise ValueError(first_line(error)) from None
    for name in table.schema.names:
        column = table.column(name)
        check_type(name, column, optional=name in origin_columns)
        if name in LIMITS:
            check_range(name, column)
    check_values(table, samples, leads)


def check_type(name: str, column: "pyarrow.ChunkedArray", optional: bool) -> None:
    """Raises ValueError if a column has another type or missing values."""
    from pyarrow import types

    kind = column.type
    if is_list := types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind)
    fits = (is_list and (is_text or types.is_null(kind)) if name in LISTS else
            is_text and not is_list if name in TEXTS else
            not is_list and (types.is_integer(kind) or (name == "rate" and types.is_floating(kind))))
    if not fits:
        wanted = "lists of texts" if name in LISTS else "texts" if name in TEXTS else "numbers"
        raise ValueError(f"the column {name} has values of type {column.type}; wanted {wanted}")
    if not optional and column.null_count:
        raise ValueError(f"the column {name} lacks values")
    if is_list and any(chunk.flatten().null_count for chunk in column.chunks):
        raise ValueError(f"the column {name} lacks values in lists")


def check_range(name: str, column: "pyarrow.ChunkedArray") -> None:
    from pyarrow import compute

    (low, high), (first, last) = compute.min_max(column).as_py().values(), LIMITS[name]
    if low is not None and not (low >= first and high <= last):
        raise ValueError(f"the column {name} has values from {low} to {high}; wanted {first} or more")


def check_values(table: "pyarrow.Table", samples: int, leads: Sequence[str]) -> None:
    """Raises ValueError if rows reach beyond the signals, or rates or leads are impossible."""
    offsets, lengths = (table.column(name).to_numpy() for name in ("offset", "length"))
    if (lengths > samples).any() or (offsets > samples - lengths).any():
        raise ValueError("rows reach beyond signals.npy")
    if lengths.sum(dtype=float) > MAX_REPETITION * samples:
        raise ValueError(f"rows have the samples of signals.npy more than {MAX_REPETITION} times")
    if "rate" in table.schema.names:
        rates = table.column("rate").to_numpy()
        if not ((rates >= MIN_RATE) & (rates < MAX_RATE)).all():
            raise ValueError("the column rate has impossible values; wanted Hz above 0")
    if "source_leads" in table.schema.names:
        found = {lead for chunk in table.column("source_leads").chunks for lead in chunk.flatten().unique().to_pylist()}
        if unknown := sorted(found - set(leads)):
            raise ValueError(f"the column source_leads has {unknown[0]:.60}, which is no lead of the store")
