"""Forged token files: whatever the header and the columns hold, reading gives tokens or one line."""

import json
from datetime import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ecgvae.data.tokens import CodebookSpec, TokenHeader, Tokens, open_tokens, write_tokens
from ecgvae.inspection import describe

HEADER = TokenHeader("abc", "small", 100.0, ("I", "II"), (CodebookSpec(8, 512), CodebookSpec(32, 1000)))
OLD_COLUMNS = ("record", "start", "samples", "source_rate", "source_samples", "comments", "notes", "codes_0", "codes_1")

odd_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from(["\x1b[31m", "9" * 5000, 1 << 70, 1e300, -1]),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=2),
    max_leaves=4)
odd_cells = (st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.floats()
             | st.sampled_from(["", "x", "25:00", "2020-13-01T00:00", "2020-01-01T00:00+02:00", "1T", b"raw"])
             | st.lists(st.none() | st.text(max_size=2), max_size=3) | st.lists(st.none() | st.floats(), max_size=3)
             | st.lists(st.integers(-5, 1 << 40), min_size=1, max_size=20))
fuzz = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    tokens = [Tokens((np.arange(13), np.arange(4)), 100, f"r{row}", 100.0, 100, 0, ("c",), ("n",), time(1, 2), ("I",),
                     (1.0, None), (2.0, None)) for row in range(3)]
    return parquet.read_table(write_tokens(tmp_path_factory.mktemp("tokens") / "t", HEADER, tokens))


def is_read_or_refused(path) -> bool:
    """Whether a token file can be read in every way, or is refused by a ValueError in one line with its path."""
    try:
        file = open_tokens(path)
        assert repr(file) and len(list(file)) == len(file)
        describe(path)
    except ValueError as error:
        return str(path) in str(error) and "\n" not in str(error)
    return True


def paths_of(values, path=()):
    """The key paths of all values in a tree of JSON."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


PATHS = sorted(paths_of(json.loads(HEADER.json())), key=str)


@fuzz
@given(st.sampled_from(PATHS), odd_json, st.booleans())
def test_forged_headers(tmp_path, table, path, value, remove):
    values = node = json.loads(HEADER.json())
    for key in path[:-1]:
        node = node[key]
    if remove:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    parquet.write_table(table.replace_schema_metadata({b"ecgvae": json.dumps(values).encode()}), tmp_path / "t")
    assert is_read_or_refused(tmp_path / "t")


@pytest.mark.parametrize("text", [b"", b"null", b"[" * 100_000, b'{"format":' * 5000, b"\xff\xfe", b"1e999"])
def test_headers_that_are_no_object(tmp_path, table, text):
    parquet.write_table(table.replace_schema_metadata({b"ecgvae": text}), tmp_path / "t")
    with pytest.raises(ValueError, match="not an ecgvae token file"):
        open_tokens(tmp_path / "t")


@fuzz
@given(st.data(), odd_cells, st.integers(0, 2), st.booleans())
def test_forged_columns(tmp_path, table, data, cell, row, keep_type):
    name = data.draw(st.sampled_from(table.column_names))
    cells = table[name].to_pylist()
    cells[row] = cell
    try:
        column = pa.array(cells, table.schema.field(name).type) if keep_type else pa.array([cell] * 3)
        parquet.write_table(table.set_column(table.column_names.index(name), name, column), tmp_path / "t")
    except (pa.ArrowException, ValueError, TypeError, OverflowError):     # Parquet cannot hold it
        return
    assert is_read_or_refused(tmp_path / "t")


@pytest.mark.parametrize("name", [*OLD_COLUMNS, "start_time", "source_leads", "prdn", "rmse_uv"])
def test_missing_and_repeated_columns(tmp_path, table, name):
    parquet.write_table(table.drop([name]), tmp_path / "t")
    if name in OLD_COLUMNS:
        with pytest.raises(ValueError, match=f"no column {name} of"):
            open_tokens(tmp_path / "t")
    else:
        assert len(list(open_tokens(tmp_path / "t"))) == 3
    parquet.write_table(table.append_column(name, table[name]), tmp_path / "twice")
    with pytest.raises(ValueError, match=f"no column {name} of|not an ecgvae token file"):
        open_tokens(tmp_path / "twice")


def test_files_of_earlier_versions_are_read(tmp_path, table):
    parquet.write_table(table.select(list(OLD_COLUMNS)), tmp_path / "old")
    first = open_tokens(tmp_path / "old")[0]
    assert (first.start_time, first.source_leads, first.prdn, first.rmse_uv) == (None, None, None, None)
    assert first.name == "r0" and first.comments == ("c",)
