"""Tokens of ECG records, and files of them: Parquet that names the tokenizer it is from."""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.jobs import write_atomically

FORMAT = 1
KEY = b"ecgvae"
GROUP_ROWS = 4096  # bounds what is held in memory on writing and reading
GROUP_CODES = 1 << 20


@dataclass(frozen=True, eq=False)
class Tokens:
    """The codes of one record, an array (n,) a stream; `samples` and `start` count at the model's rate."""

    codes: tuple[np.ndarray, ...]
    samples: int
    name: str
    source_rate: float
    source_samples: int
    start: int = 0
    comments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TokenHeader:
    """What the tokens of a file have in common: the tokenizer (a hash), its name, signal and streams."""

    tokenizer: str
    model: str
    rate: float
    leads: tuple[str, ...]
    codebooks: tuple[CodebookSpec, ...]

    def json(self) -> bytes:
        values = asdict(self)
        values["streams"] = values.pop("codebooks")     # as format 1 calls them
        return json.dumps({"format": FORMAT, **values}).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "TokenHeader":
        """ValueError, KeyError or TypeError where it is none."""
        values = json.loads(text)
        if (version := values.pop("format")) != FORMAT:
            raise ValueError(f"token format {version}; this version reads format {FORMAT}")
        codebooks = tuple(CodebookSpec(**spec) for spec in values.pop("streams"))
        return cls(leads=tuple(values.pop("leads")), codebooks=codebooks, **values)

    def check(self, tokens: Tokens) -> None:
        """ValueError where codes don't fit the streams, or lengths and rates make no sense."""
        counts = (tokens.samples, tokens.start, tokens.source_samples)
        if min(counts) < 0 or not 0 < tokens.source_rate < math.inf:
            raise ValueError(f"{tokens.name} has samples {counts} at {tokens.source_rate} Hz; wanted positive numbers")
        if len(tokens.codes) != len(self.codebooks):
            raise ValueError(f"{tokens.name} has {len(tokens.codes)} codebooks; wanted {len(self.codebooks)}")
        for index, (codes, stream) in enumerate(zip(tokens.codes, self.codebooks, strict=True)):
            where, wanted = f"{tokens.name}, codebook {index}", stream.length(tokens.samples)
            if codes.ndim != 1 or codes.dtype.kind not in "iu" or len(codes) != wanted:
                raise ValueError(f"{where}: codes {codes.dtype} {codes.shape}; wanted {wanted} whole numbers "
                                 f"for {tokens.samples} samples at hop {stream.hop}")
            low, high = (codes.min(), codes.max()) if len(codes) else (0, 0)
            if low < 0 or high >= stream.size:
                raise ValueError(f"{where}: codes from {low} to {high}; wanted 0 to {stream.size - 1}")


def write_tokens(
    path: str | Path, header: TokenHeader, tokens: Iterable[Tokens], overwrite: bool = False
) -> Path:
    """Write tokens as they come, in bounded memory; the file appears when it is whole."""
    tables = (_table(header, group) for group in _groups(header, tokens))
    return _write(Path(path), header, tables, overwrite)


def merge_tokens(paths: Iterable[str | Path], out: str | Path, overwrite: bool = False) -> Path:
    """Join token files of one tokenizer, in bounded memory."""
    files = [open_tokens(path) for path in paths]
    if not files:
        raise ValueError(f"no token files to join as {out}; wanted at least one")
    for file in files:
        if file.header != files[0].header:
            raise ValueError(f"{file.path} has another tokenizer or other streams than {files[0].path}")
    tables = (table for file in files for table in file.tables())
    return _write(Path(out), files[0].header, tables, overwrite)


def open_tokens(path: str | Path) -> "TokenFile":
    """A token file; ValueError if it is none or is damaged."""
    import pyarrow
    from pyarrow import parquet

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there; wanted a token file")
    try:
        file = parquet.ParquetFile(path, page_checksum_verification=True)
        header = TokenHeader.from_json(file.schema_arrow.metadata[KEY])
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is not an ecgvae token file") from None
    except ValueError as error:
        raise ValueError(f"{path} is not an ecgvae token file of this version: {error}") from None
    columns = [(field.name, field.type) for field in file.schema_arrow]
    for wanted in _schema(header):
        if columns.count((wanted.name, wanted.type)) != 1:
            raise ValueError(f"{path} is not an ecgvae token file: no column {wanted.name} of {wanted.type}")
    return TokenFile(path, header, file)


class TokenFile:
    """Tokens on disk, to index or to go through; a group of rows at a time is in memory."""

    def __init__(self, path: Path, header: TokenHeader, file):
        self.path, self.header, self._file = path, header, file
        groups = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
        self._ends = np.cumsum([0, *groups])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __iter__(self) -> Iterator[Tokens]:
        for table in self.tables():
            yield from self._rows(table)

    def __getitem__(self, row: int) -> Tokens:
        row = range(len(self))[row]
        group = int(np.searchsorted(self._ends, row, side="right")) - 1
        return next(self._rows(self._table(group).slice(row - self._ends[group], 1)))

    def tables(self) -> Iterator:
        """The groups of rows, each as a pyarrow Table of this file's columns."""
        return map(self._table, range(len(self._ends) - 1))

    def _table(self, group: int):
        import pyarrow

        try:
            return self._file.read_row_group(group, columns=_schema(self.header).names)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{self.path} is damaged: {str(error).splitlines()[0]}") from None

    def _rows(self, table) -> Iterator[Tokens]:
        for batch in table.to_batches():
            columns = {name: batch.column(name) for name in batch.schema.names}
            streams = [columns.pop(f"codes_{index}") for index in range(len(self.header.codebooks))]
            if sum(column.null_count for column in (*batch.columns, *(codes.values for codes in streams))):
                raise ValueError(f"{self.path} is damaged: values are missing")
            facts = zip(*(column.to_pylist() for column in columns.values()), strict=True)
            for row, (name, start, samples, rate, source_samples, *texts) in enumerate(facts):
                codes = tuple(column[row].values.to_numpy().astype(np.int64) for column in streams)
                tokens = Tokens(codes, samples, name, rate, source_samples, start, *map(tuple, texts))
                self.header.check(tokens)
                yield tokens


def _schema(header: TokenHeader):
    """The columns of a token file; codes take two bytes where that is enough."""
    import pyarrow as pa

    texts = pa.list_(pa.string())
    facts = [
        ("record", pa.string()),
        ("start", pa.int64()),
        ("samples", pa.int64()),
        ("source_rate", pa.float64()),
        ("source_samples", pa.int64()),
        ("comments", texts),
        ("notes", texts),
    ]
    codes = [(f"codes_{index}", pa.list_(pa.uint16() if stream.size <= 1 << 16 else pa.uint32()))
             for index, stream in enumerate(header.codebooks)]
    return pa.schema(facts + codes, metadata={KEY: header.json()})


def _groups(header: TokenHeader, tokens: Iterable[Tokens]) -> Iterator[list[Tokens]]:
    """Checked tokens in groups of bounded size."""
    group, size = [], 0
    for one in tokens:
        header.check(one)
        group.append(one)
        size += sum(map(len, one.codes))
        if len(group) == GROUP_ROWS or size >= GROUP_CODES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(header: TokenHeader, tokens: list[Tokens]):
    import pyarrow as pa

    schema = _schema(header)
    names = ("name", "start", "samples", "source_rate", "source_samples", "comments", "notes")
    facts = ([getattr(one, name) for one in tokens] for name in names)
    arrays = [pa.array(column, field.type) for column, field in zip(facts, schema, strict=False)]
    for index in range(len(header.codebooks)):
        codes = [one.codes[index] for one in tokens]
        values = pa.array(np.concatenate(codes), schema.field(f"codes_{index}").type.value_type)
        offsets = np.cumsum([0, *map(len, codes)], dtype=np.int32)
        arrays.append(pa.ListArray.from_arrays(offsets, values))
    return pa.Table.from_arrays(arrays, schema=schema)


def _write(path: Path, header: TokenHeader, tables: Iterable, overwrite: bool) -> Path:
    """Write tables to a new file, small ones joined."""
    from pyarrow import concat_tables, parquet

    def write(temporary: Path) -> None:
        options = {"compression": "zstd", "use_dictionary": True, "write_page_checksum": True}
        with parquet.ParquetWriter(temporary, _schema(header), **options) as writer:
            waiting = []
            for table in tables:
                waiting.append(table)
                if sum(map(len, waiting)) >= GROUP_ROWS or sum(t.nbytes for t in waiting) >= 2 * GROUP_CODES:
                    writer.write_table(concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(concat_tables(waiting))

    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite")
    write_atomically(path, write)
    return path
