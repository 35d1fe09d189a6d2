"""Tables of labels: what is read from CSV, and how it meets the records of a store."""

import csv
import io
import os

import numpy as np
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import write_wfdb

from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.data.table import match_labels, read_table

LABELS = """\
record,split,patient,age,sex,fold,weight,labels,checked
a/r0,train,007,61,male,3,70.5,NORM;SR,true
./b/r1.hea,val,012,,female,9,,MI,false
a\\r2.dat, Test ,12a,300,NA,10,81,,
"""


def write_table(folder, text, name="labels.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_columns_have_the_types_of_their_cells(tmp_path):
    table = read_table(write_table(tmp_path, LABELS))
    assert table.index.tolist() == ["a/r0", "b/r1", "a/r2"]
    assert table.columns.tolist() == ["split", "patient", "age", "sex", "fold", "weight", "labels", "checked"]
    assert table["split"].tolist() == ["train", "validation", "test"]
    assert table["patient"].tolist() == ["007", "012", "12a"]
    assert table["age"].fillna(-1).tolist() == [61, -1, 300] and table["age"].dtype == "Int64"
    assert table["sex"].isna().tolist() == [False, False, True]
    assert table["weight"].fillna(0).tolist() == [70.5, 0, 81] and table["fold"].dtype == "Int64"
    assert table["labels"].tolist() == [["NORM", "SR"], ["MI"], []]
    assert table["checked"].tolist() == [True, False, pandas.NA]


@pytest.mark.parametrize("header, index", [
    ("age,record,name2", "r1"), ("age,name,x", "r1"), ("first,age,x", "50")
])
def test_names_are_in_record_else_name_else_the_first_column(tmp_path, header, index):
    assert read_table(write_table(tmp_path, f"{header}\n50,r1,2\n")).index.tolist() == [index]


def test_names_alone_and_a_byte_order_mark_are_read(tmp_path):
    table = read_table(write_table(tmp_path, "\ufeffrecord\n00001\nNA\n"))
    assert table.index.tolist() == ["00001", "NA"] and table.shape == (2, 0)


@pytest.mark.parametrize("spelling, split", [
    ("train", "train"), ("TRAIN", "train"), ("validation", "validation"), ("val", "validation"),
    ("valid", "validation"), ("Dev", "validation"), ("test", "test"), ("", None), ("NA", None),
])
def test_spellings_of_splits(tmp_path, spelling, split):
    value = read_table(write_table(tmp_path, f"record,split\nr,{spelling}\n"))["split"].iloc[0]
    assert (None if pandas.isna(value) else value) == split


@pytest.mark.parametrize("text, message", [
    ("", "has no rows; wanted a line of column names and a row for each record"),
    ("record,age\n", "has no rows"),
    ("\n\n", "has no rows"),
    ("record,split\na,train\nb,hold out\n", "b has split 'hold out'; wanted train, validation or test"),
    ("record,age\na,1\nb,2\na.hea,3\n", "lines 2 and 4 are both for a; wanted one row for each record"),
    ("record,age\na,1\n,2\n", "line 3 has no record name in the column record"),
    ("record,age\na,1\nb,2,3\n", "line 3 has 3 cells; wanted 2, as the first line"),
    ("record,age\na\n", "line 2 has 1 cells; wanted 2"),
    ("record;age\na;1\n", "has no commas in its first line"),
    ("record\tage\na\t1\n", "has no commas in its first line"),
    ("record,age,age\na,1,2\n", "has columns named age; wanted different names"),
    ("record,,\na,1,2\n", "column 2 has no name; wanted a name for every column"),
    (",record\n0,a\n", "column 1 has no name; wanted a name for every column"),
    ("record,rate,notes\na,1,2\n", "has columns rate, notes, which are columns of every store; rename them"),
    ("record,name\na,1\n", "has columns name, which"),
    ('record,age\na,"1"2\n', r"is not a table \(CSV\): "),
    (b"record,age\na,\xe4\n", "is not text in UTF-8"),
    (b"PK\x03\x04\x14\x00\xff\xfe", "is not text in UTF-8"),
    ("record,age\na,\0\n", "is not text in UTF-8"),
])
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_table(write_table(tmp_path, text))
    assert "\n" not in str(caught.value) and "labels.csv" in str(caught.value)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not there; wanted a table"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="is a folder; wanted a table"):
        read_table(tmp_path)
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is a spreadsheet; wanted a table .CSV.: save it as CSV UTF-8"):
        read_table(tmp_path / "labels.xlsx")


def test_known_columns_may_be_in_upper_case(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("Record,Labels,Patient,SPLIT,Age\na,NORM,7,Train,60\nb,MI,8,TEST,\n")
    table = read_table(path)
    assert list(table.index) == ["a", "b"] and list(table) == ["Labels", "patient", "split", "age"]
    assert table["split"].tolist() == ["train", "test"]


def test_patients_in_several_splits_are_counted():
    table = pandas.DataFrame({"patient": [1, 1, 2, 2, 3], "split": ["train", "test", "train", None, "validation"]},
                             index=list("abcde"))
    assert match_labels(table, "abcde")[1]["patients_in_several_splits"] == 1
    assert match_labels(table.drop(columns="patient"), "abcde")[1]["patients_in_several_splits"] == 0
    folds = table.drop(columns="split")
    for fold, count in (([1, 2, 3, 3, 4], 0), ([1, 9, 3, 10, 4], 2), ([1, 9, 3, 3, 10], 1)):
        assert match_labels(folds.assign(fold=fold), "abcde")[1]["patients_in_several_splits"] == count


letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"], exclude_characters=";\ufeff")
odd = ["0", "01", "-0", "+1", "1e3", "1_000", "0x1f", "inf", "True", "false", ".5", "5.", "1;2", "; ", "x; y"]
number = st.integers(-10**19, 10**19).map(str) | st.floats(allow_nan=False).map(repr)
value = st.text(letters, max_size=6) | number | st.sampled_from(odd)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(value, min_size=2, max_size=2), min_size=1, max_size=5))
def test_every_cell_keeps_its_value(tmp_path, rows):
    """A number is read only if it stands for the same number; any other cell keeps its letters."""
    text = io.StringIO()
    csv.writer(text).writerows([["record", "a", "b"], *([f"r{index}", *row] for index, row in enumerate(rows))])
    table = read_table(write_table(tmp_path, text.getvalue()))
    for name, cells in zip("ab", zip(*rows, strict=True), strict=True):
        for read, cell in zip(table[name], cells, strict=True):
            if any(";" in other for other in cells):
                items = "" if cell in ("NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL") else cell
                assert read == [item.strip() for item in items.split(";") if item.strip()]
            elif read is pandas.NA or (isinstance(read, float) and np.isnan(read)):
                assert cell.strip() in ("", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL")
            elif isinstance(read, str):
                assert read == cell.strip()
            elif isinstance(read, bool | np.bool_):
                assert str(read).lower() == cell.lower()
            else:
                assert read == float(cell) and (isinstance(read, float) or str(read) == cell or cell == "-0")


def test_a_store_has_the_columns_and_counts_what_does_not_match(source, tmp_path):
    table = read_table(write_table(tmp_path, LABELS.replace("a\\r2.dat", "gone")))
    store = build_store(source, tmp_path / "out", labels=table, workers=1)
    records = store.records.set_index("name")
    assert records.loc["a/r0", "labels"].tolist() == ["NORM", "SR"] and records.loc["b/r1", "age"] is pandas.NA
    assert records["patient"].dropna().tolist() == ["007", "012"]
    assert (store.manifest["unmatched_rows"], store.manifest["unlabelled_records"]) == (1, 3)
    assert store.split("train").tolist() == [0] and store.split("validation").tolist() == [3]
    assert len(store.split("test")) == 0 and len(store.split("all")) == 5
    assert "unmatched_rows" not in build_store(source, tmp_path / "plain", workers=1).manifest


def test_a_table_of_other_records_is_refused_before_any_work(source, tmp_path):
    table = read_table(write_table(tmp_path, "record,age\n00001,5\n00002,6\n"))
    message = "names none of the 5 records, such as a/r0; it has other names, such as 00001$"
    with pytest.raises(ValueError, match=message):
        build_store(source, tmp_path / "out", labels=table, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "source"]
    for labels, message in [(table[:0], "has no rows"), ({"a": 1}, "labels are a dict; wanted a pandas DataFrame")]:
        with pytest.raises(ValueError, match=message):
            build_store(source, tmp_path / "out", labels=labels, workers=1)


def test_a_split_comes_before_a_fold_and_labels_of_a_data_frame_are_checked_too(source, tmp_path):
    names = ["a/r0", "a/r2", "a/r4", "b/r1", "b/r3"]
    labels = pandas.DataFrame({"split": ["dev", "test", "TRAIN", None, "train"], "fold": [1] * 5}, index=names)
    store = build_store(source, tmp_path / "out", labels=labels, workers=1)
    rows = {name: store.split(name).tolist() for name in ("train", "validation", "test")}
    assert rows == {"train": [2, 4], "validation": [0], "test": [1]}
    with pytest.raises(ValueError, match="^a/r2 has split 'B'; wanted train, validation or test$"):
        build_store(source, tmp_path / "b", labels=labels.assign(split=["train", *"BCDE"]), workers=1)


def test_a_column_split_of_an_earlier_version_that_is_no_split_is_left_alone(source, tmp_path):
    store = build_store(source, tmp_path / "out", workers=1)
    before = {name: store.split(name).tolist() for name in ("train", "validation", "test")}
    table = pandas.read_parquet(store.path / "records.parquet")
    table.assign(split=["A", "B", "A", None, "train"]).to_parquet(store.path / "records.parquet")
    again = Store(store.path)
    assert {name: again.split(name).tolist() for name in before} == before


def test_folds_that_are_no_numbers_are_one_line(source, tmp_path):
    labels = pandas.DataFrame({"fold": ["one", "two"]}, index=["a/r0", "b/r1"])
    store = build_store(source, tmp_path / "out", labels=labels, workers=1)
    with pytest.raises(ValueError, match="folds that are not whole numbers; wanted 1 to 10"):
        store.split("train")


def test_an_interrupted_build_goes_on_with_another_table(tmp_path):
    def interrupt(done, total):
        if done == total:
            raise KeyboardInterrupt

    for index in range(3):
        write_wfdb(tmp_path / "in" / f"r{index}", np.full((9, 1), index), ("II",))
    tables = [pandas.DataFrame({"age": [age]}, index=["r1"]) for age in (50, 60)]
    options = {"leads": "II", "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        build_store(tmp_path / "in", tmp_path / "out", labels=tables[0], progress=interrupt, **options)
    assert list((tmp_path / "out.partial").glob("part-*"))
    store = build_store(tmp_path / "in", tmp_path / "out", labels=tables[1], **options)
    assert store.records["age"].dropna().tolist() == [60]

def test_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="labels.csv is a named pipe; wanted a table"):
        read_table(tmp_path / "labels.csv")


@pytest.mark.parametrize("column, values, message", [
    ("x", [1, "a", None], "the column x of the labels can't be stored: Could not convert 'a'"),
    ("x", [10**30, 1, 2], "the column x of the labels can't be stored"), ("x", [1j, 2, 3], "can't be stored"),
    ("x", [b"\xff", "x", 1], "can't be stored"), ("x", [object(), 1, 2], "can't be stored"),
])
def test_labels_of_python_that_can_not_be_stored_are_refused_before_the_work(source, tmp_path, column, values, message):
    labels = pandas.DataFrame({column: pandas.Series(values, index=["a/r0", "a/r2", "b/r1"])})
    with pytest.raises(ValueError, match=message) as caught:
        build_store(source, tmp_path / "out", labels=labels, workers=1)
    assert "\n" not in str(caught.value) and not (tmp_path / "out.partial").exists()
