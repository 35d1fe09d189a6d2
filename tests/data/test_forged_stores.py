"""Stores that somebody forged or damaged: whatever is in their files, a mistake is one line."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from commands import call, mistake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ecgvae.conditions import ConditionSettings
from ecgvae.data.collection import Collection
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.data.tokens import Tokens
from ecgvae.inspection import describe

MISTAKES = (ValueError, OSError, IndexError)
DEEP = '{"a":' * 20_000

NAN, INF = float("nan"), float("inf")
numbers = st.sampled_from([0, -1, 1, 2, 100, 3.5, -0.0, 1e300, NAN, INF, 5e-324, 1 << 31, 1 << 63, 10**30])
texts = st.sampled_from(["", "I", "100", "NaN", "train", "2020-01-01T00:00:00", "25:99", "../b", "\x1b[2J", "é" * 300])
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.lists(st.lists(scalars, max_size=2), max_size=2),
                   st.dictionaries(texts, scalars, min_size=1, max_size=2))
COLUMNS = ("name", "start", "offset", "length", "rate", "samples", "notes", "comments", "start_time", "source_leads",
           "split", "fold", "patient", "age", "sex", "superclass")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, records) -> Path:
    """A store with all columns."""
    import pandas

    from ecgvae.data.prepare import build_store

    labels = pandas.DataFrame({"fold": [1, 9, 10], "patient": [7, 8, 9], "age": [50, None, 60],
                               "sex": ["male", "female", None], "superclass": [["MI"], [], ["NORM"]]},
                              index=["a", "b", "ward/c"])
    return build_store(records, tmp_path_factory.mktemp("whole") / "store", labels=labels, window=2, workers=1).path


def use(path: Path) -> int:
    """Does with a store what commands do with one. Returns the number of its rows."""
    store = Store(path)
    describe(path)
    assert len(store) == len(store.records) and repr(store)
    for name in ("train", "validation", "test", "all"):
        for row in store.split(name)[:3]:
            record = store.record(row)
            assert np.isfinite(record.signal).all() and set(store.source_leads(row)) <= set(store.leads)
    collection = Collection([path])
    for entry in collection.entries[:3]:
        tokens = Tokens((), 10, "a", 100.0, 10, source_leads=store.leads)
        collection.with_origin(entry, tokens, 100)
    Windows(store, store.split("all"), 100)
    for condition in ({"age": True}, {"sex": True}, {"labels": ("MI",)}):
        condition_vectors(store, ConditionSettings(**condition))
    return len(store)


def is_used_or_refused(path: Path) -> bool:
    """Whether a store can be used, or is refused in one line; other errors are raised."""
    try:
        use(path)
    except MISTAKES as error:
        return bool(str(error).strip()) and "\n" not in str(error) and len(str(error)) < 1000
    return True


def link_copy(store: Path, out: Path, *without: str) -> Path:
    """A copy of a store by links, without some of its files."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for file in store.iterdir():
        if file.name not in without:
            os.link(file, out / file.name)
    return out


def test_a_whole_store_can_be_used(whole):
    assert use(whole) == parquet.read_metadata(whole / "records.parquet").num_rows > 0


fuzz = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(data=st.data())
def test_a_forged_manifest_is_one_line(whole, tmp_path, data):
    manifest = json.loads((whole / "manifest.json").read_text())
    key = data.draw(st.sampled_from([*manifest, "lead_map", "unmatched_rows", "other"]))
    if data.draw(st.booleans()):
        manifest[key] = data.draw(values)
    else:
        manifest.pop(key, None)
    copy = link_copy(whole, tmp_path / "copy", "manifest.json")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert is_used_or_refused(copy)


@fuzz
@given(data=st.data())
def test_a_forged_table_is_one_line(whole, tmp_path, data):
    table = parquet.read_table(whole / "records.parquet")
    name = data.draw(st.sampled_from(COLUMNS))
    cells = table.column(name).to_pylist() if name in table.schema.names else [None] * len(table)
    if data.draw(st.booleans()):
        cells[data.draw(st.integers(0, len(cells) - 1))] = data.draw(values)
    else:
        cells = [data.draw(values)] * len(cells)
    try:
        column = pyarrow.array(cells)
    except (pyarrow.ArrowException, OverflowError):
        return
    table = table.drop_columns([name]) if name in table.schema.names else table
    if data.draw(st.integers(0, 9)):
        table = table.append_column(name, column)
    if not data.draw(st.integers(0, 9)):
        table = table.append_column(name, column)
    if data.draw(st.booleans()):
        table = table.replace_schema_metadata(None)
    copy = link_copy(whole, tmp_path / "copy", "records.parquet")
    parquet.write_table(table, copy / "records.parquet")
    assert is_used_or_refused(copy)


@fuzz
@given(file=st.sampled_from(["manifest.json", "records.parquet", "signals.npy"]), place=st.floats(0, 1),
       change=st.binary(max_size=8), length=st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_damaged_bytes_are_one_line(whole, tmp_path, file, place, change, length):
    content = bytearray((whole / file).read_bytes())
    start = int(place * (min(len(content), 5000) - 1))
    content[start:start + len(change)] = change
    copy = link_copy(whole, tmp_path / "copy", file)
    (copy / file).write_bytes(content[:int(len(content) * length)])
    assert is_used_or_refused(copy)


@pytest.mark.parametrize("name", ["manifest.json", "records.parquet", "signals.npy"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"),
                                  lambda path: path.symlink_to(path)])
def test_what_is_no_file_is_one_line_and_does_not_hang(whole, tmp_path, name, make):
    copy = link_copy(whole, tmp_path / "copy", name)
    make(copy / name)
    with pytest.raises(ValueError, match="copy is (damaged|not an ecgvae store): [^\n]*$"):
        use(copy)


@pytest.mark.parametrize("text, message", [
    (DEEP, "no valid manifest.json"), ("[1]", "manifest.json"), ("null", "manifest.json"), ("{}", "manifest.json"),
    ('{"format": "1"}', "format"), ('{"format": 10000000000000000000000000000000}', "store format"),
    ("9" * 5000, "no valid manifest.json"),
])
def test_odd_manifests_are_one_line(whole, tmp_path, text, message):
    copy = link_copy(whole, tmp_path / "copy", "manifest.json")
    (copy / "manifest.json").write_text(text)
    assert message in mistake("info", copy)


@pytest.mark.parametrize("key, value", [
    ("rate", "100"), ("rate", 0), ("rate", -1), ("rate", NAN), ("leads", []), ("leads", ["I"] * 12), ("leads", "I"),
    ("samples", -1), ("samples", 10**30), ("fingerprint", None), ("window", "long"), ("skipped", 1.5),
    ("random_split", "coin"), ("origin_columns", ["age"]), ("remarks", "x"),
])
def test_impossible_facts_are_named(whole, tmp_path, key, value):
    copy = link_copy(whole, tmp_path / "copy", "manifest.json")
    manifest = json.loads((whole / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, key: value}))
    assert f"is not an ecgvae store: manifest.json: {key}" in mistake("info", copy)


@pytest.mark.parametrize("column, cells, message", [
    ("name", ["é" * 300] * 6, "are both named é"), ("offset", [1 << 62, 0, 0, 0, 0, 0], "beyond"),
    ("length", [0] * 6, "length has values from 0"),
    ("name", [1] * 6, "name has values of type int64; wanted texts"), ("name", [None, *"abcde"], "name lacks values"),
    ("name", [None] * 6, "name has values of type null"), ("notes", [["a", None]] * 6, "notes lacks values in lists"),
    ("comments", ["x"] * 6, "comments has values of type string"), ("rate", [-1.0] * 6, "rate has impossible values"),
    ("rate", ["fast"] * 6, "rate has values of type string"), ("source_leads", [["V9"]] * 6, "V9, which is no lead"),
    ("start_time", ["now"] * 6, "starts at 'now'"), ("fold", [9.5] * 6, "folds that are not whole numbers"),
])
def test_impossible_cells_are_named(whole, tmp_path, column, cells, message):
    table = parquet.read_table(whole / "records.parquet")
    assert len(table) == 6
    table = table.set_column(table.schema.names.index(column), column, pyarrow.array(cells))
    table = table.replace_schema_metadata(None)
    copy = link_copy(whole, tmp_path / "copy", "records.parquet")
    parquet.write_table(table, copy / "records.parquet")
    with pytest.raises(ValueError, match=message) as caught:
        use(copy)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_a_column_that_the_user_removed_is_unknown(whole, tmp_path):
    table = parquet.read_table(whole / "records.parquet").drop_columns(["start_time", "source_leads", "start", "notes"])
    copy = link_copy(whole, tmp_path / "copy", "records.parquet")
    parquet.write_table(table, copy / "records.parquet")
    store = Store(copy)
    assert store.record(0).start_time is None and store.source_leads(0) == store.leads
    call("info", copy)


def test_rows_that_repeat_the_signals_without_end_are_refused(whole, tmp_path):
    table = parquet.read_table(whole / "records.parquet")
    total, count = len(np.load(whole / "signals.npy")), 100
    rows = pyarrow.Table.from_pylist([{**table.to_pylist()[0], "offset": 0, "length": total}] * count, table.schema)
    copy = link_copy(whole, tmp_path / "copy", "records.parquet")
    parquet.write_table(rows, copy / "records.parquet")
    with pytest.raises(ValueError, match="the samples of signals.npy more than 16 times"):
        len(Store(copy))
    parquet.write_table(pyarrow.concat_tables([table, table]), copy / "records.parquet")    # by a user, for balance
    assert len(Store(copy)) == 2 * len(table)
