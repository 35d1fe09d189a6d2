"""Token files: Parquet with the codes of each record and, in its metadata, the identity of the tokenizer."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.errors import first_line
from ecgvae.data.token_header import TokenHeader, Tokens
from ecgvae.files import check_free, check_regular, write_atomically
from ecgvae.signal.start_time import iso_to_start_time
from ecgvae.wording import count, quote

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

__all__ = ["CodebookSpec", "TokenFile", "TokenHeader", "Tokens", "merge_tokens", "open_tokens", "write_tokens"]

METADATA_KEY = b"ecgvae"
OPTIONAL_COLUMNS = ("start_time", "source_leads", "prdn", "rmse_uv")  # files of earlier versions lack them
# Limits of a group of rows, which bound memory in writing and reading.
GROUP_ROWS = 4096
GROUP_CODES = 1 << 20

_FIELDS = ("name", "start", "samples", "source_rate", "source_samples", "comments", "notes", *OPTIONAL_COLUMNS)


def write_tokens(
    path: str | Path, header: TokenHeader, tokens: Iterable[Tokens], overwrite: bool = False
) -> Path:
    """Writes a token file atomically and in bounded memory.

    Args:
        path: The file.
        header: The header of the file, such as `Tokenizer.header()`.
        tokens: The tokens of each record.
        overwrite: Whether to replace a file that exists.

    Returns:
        The path.

    Raises:
        ValueError: Tokens do not fit the header.
        FileExistsError: The file exists, and `overwrite` is False.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{quote(path)} is not a path; wanted that of a token file")
    if not isinstance(header, TokenHeader):
        raise ValueError(f"the header is a {type(header).__name__}; wanted a TokenHeader, as from Tokenizer.header()")
    if isinstance(tokens, Tokens):
        raise ValueError("got Tokens of one record; wanted a list of Tokens")
    if not isinstance(tokens, Iterable):
        raise ValueError(f"got {quote(tokens)}; wanted a list of Tokens")
    tables = (_table(header, group) for group in _groups(header, tokens))
    return _write(Path(path), header, tables, overwrite)


def merge_tokens(paths: Iterable[str | Path], out: str | Path, overwrite: bool = False) -> Path:
    """Joins token files in bounded memory; ValueError if they are not all of one tokenizer."""
    files = [open_tokens(path) for path in paths]
    if not files:
        raise ValueError(f"no token files to join as {out}; wanted at least one")
    for file in files:
        if file.header != files[0].header:
            raise ValueError(f"{file.path} has another tokenizer or other codebooks than {files[0].path}")
    tables = (table for file in files for table in file.tables())
    return _write(Path(out), files[0].header, tables, overwrite)


def open_tokens(path: str | Path) -> "TokenFile":
    """Opens a token file.

    Raises:
        ValueError: The file is not a token file, or is damaged.
        FileNotFoundError: There is no such file.

    Example:
        >>> tokens = open_tokens("tokens.parquet")
        >>> tokens[0].codes[0]  # the codes of the first codebook of the first record
    """
    import pyarrow
    from pyarrow import parquet

    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{path!r:.60} is not a path; wanted that of a token file")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; wanted a token file")
    check_regular(path, "a token file")
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
        header = TokenHeader.from_json(file.schema_arrow.metadata[METADATA_KEY])
    except (pyarrow.ArrowException, OSError, KeyError, TypeError):
        raise ValueError(f"{path} is not an ecgvae token file") from None
    except ValueError as error:
        raise ValueError(f"{path} is not an ecgvae token file of this version: {error}") from None
    columns = [(field.name, field.type) for field in file.schema_arrow]
    names = [name for name, _ in columns]
    for wanted in _schema(header):
        is_absent = wanted.name in OPTIONAL_COLUMNS and wanted.name not in names
        if not is_absent and (columns.count((wanted.name, wanted.type)) != 1 or names.count(wanted.name) != 1):
            raise ValueError(f"{path} is not an ecgvae token file: no column {wanted.name} of {wanted.type}")
    return TokenFile(path, header, file)


class TokenFile:
    """The tokens of a file, by index or in order. Only one group of rows is in memory at a time."""

    def __init__(self, path: Path, header: TokenHeader, file: "parquet.ParquetFile"):
        self.path, self.header, self._file = path, header, file
        groups = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
        self._ends = np.cumsum([0, *groups])

    def __repr__(self) -> str:
        records, codebooks = count(len(self), "record"), count(len(self.header.codebooks), "codebook")
        return f"TokenFile({str(self.path)!r}, {records}, {codebooks} of {self.header.model!r})"

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[Tokens]:
        for table in self.tables():
            yield from self._rows(table)

    def __getitem__(self, row: int) -> Tokens:
        row = range(len(self))[row]
        group = int(np.searchsorted(self._ends, row, side="right")) - 1
        return next(self._rows(self._table(group).slice(row - self._ends[group], 1)))

    def tables(self) -> "Iterator[pyarrow.Table]":
        """The groups of rows, each as a table of this file's columns."""
        return map(self._table, range(len(self._ends) - 1))

    def _table(self, group: int) -> "pyarrow.Table":
        """A group of rows with all columns; optional ones that the file lacks are empty."""
        import pyarrow

        schema = _schema(self.header)
        try:
            table = self._file.read_row_group(group, columns=schema.names)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{self.path} is damaged: {first_line(error)}") from None
        columns = [table[field.name] if field.name in table.schema.names else pyarrow.nulls(len(table), field.type)
                   for field in schema]
        return pyarrow.Table.from_arrays(columns, schema=schema)

    def _rows(self, table: "pyarrow.Table") -> Iterator[Tokens]:
        for batch in table.to_batches():
            columns = {name: batch.column(name) for name in batch.schema.names}
            codebooks = [columns.pop(f"codes_{index}") for index in range(len(self.header.codebooks))]
            required = [column for name, column in columns.items() if name not in OPTIONAL_COLUMNS]
            if sum(column.null_count for column in (*required, *codebooks, *(codes.values for codes in codebooks))):
                raise ValueError(f"{self.path} is damaged: values are missing")
            rows = zip(*(column.to_pylist() for column in columns.values()), strict=True)
            for row, values in enumerate(rows):
                fields = dict(zip(_FIELDS, values, strict=True))
                codes = tuple(column[row].values.to_numpy().astype(np.int64) for column in codebooks)
                yield self._tokens(codes, fields)

    def _tokens(self, codes: tuple[np.ndarray, ...], fields: dict[str, Any]) -> Tokens:
        """The checked tokens of a row."""
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        try:
            start_time = iso_to_start_time(fields["start_time"])
            tokens = Tokens(codes, **fields | lists | {"start_time": start_time})
            self.header.check(tokens)
        except ValueError as error:
            raise ValueError(f"{self.path} is damaged: {first_line(error)}") from None
        return tokens


def _schema(header: TokenHeader) -> "pyarrow.Schema":
    """The columns of a token file; codes of at most 65,536 values take two bytes."""
    import pyarrow as pa

    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float32())
    columns = [
        ("record", pa.string()),
        ("start", pa.int64()),
        ("samples", pa.int64()),
        ("source_rate", pa.float64()),
        ("source_samples", pa.int64()),
        ("comments", texts),
        ("notes", texts),
        ("start_time", pa.string()),
        ("source_leads", texts),
        ("prdn", numbers),
        ("rmse_uv", numbers),
    ]
    codes = [(f"codes_{index}", pa.list_(pa.uint16() if spec.size <= 1 << 16 else pa.uint32()))
             for index, spec in enumerate(header.codebooks)]
    return pa.schema(columns + codes, metadata={METADATA_KEY: header.json()})


def _groups(header: TokenHeader, tokens: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    """Checked tokens in groups of bounded size."""
    group: list[Tokens] = []
    size = 0
    for item in tokens:
        header.check(item)
        group.append(item)
        size += sum(map(len, item.codes))
        if len(group) == GROUP_ROWS or size >= GROUP_CODES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(header: TokenHeader, tokens: list[Tokens]) -> "pyarrow.Table":
    import pyarrow as pa

    schema = _schema(header)
    columns = {name: [getattr(item, name) for item in tokens] for name in _FIELDS}
    columns["start_time"] = [start and start.isoformat() for start in columns["start_time"]]
    arrays = [pa.array(column, field.type) for column, field in zip(columns.values(), schema, strict=False)]
    for index in range(len(header.codebooks)):
        codes = [item.codes[index] for item in tokens]
        values = pa.array(np.concatenate(codes, dtype=np.int64), schema.field(f"codes_{index}").type.value_type)
        offsets = np.cumsum([0, *map(len, codes)], dtype=np.int32)
        arrays.append(pa.ListArray.from_arrays(offsets, values))
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(path: Path, header: TokenHeader, tables: "Iterable[pyarrow.Table]", overwrite: bool) -> Path:
    """Writes tables to a new file; small tables are joined to larger groups of rows."""
    from pyarrow import concat_tables, parquet

    def write(temporary: Path) -> None:
        options = {"compression": "zstd", "use_dictionary": True, "write_page_checksum": True}
        with parquet.ParquetWriter(temporary, _schema(header), **options) as writer:
            waiting: list[pyarrow.Table] = []
            for table in tables:
                waiting.append(table)
                if sum(map(len, waiting)) >= GROUP_ROWS or sum(t.nbytes for t in waiting) >= 2 * GROUP_CODES:
                    writer.write_table(concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(concat_tables(waiting))

    check_free(path, overwrite)
    write_atomically(path, write)
    return path
