"""Names of decoded records: allowed by WFDB and file systems, and different from each other."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.data.naming import unique_names, wfdb_name
from ecgvae.signal import Record, find_records, write_record

quick = settings(deadline=None, max_examples=60)
names = ["a", "A", "a-2", "é", "e", ".", "..", "", "a.hea", "x::y", "心", "a b", "\x1b", "l" * 300, "a_0"]
raw_names = st.lists(st.sampled_from(names), max_size=4).map("/".join) | st.text(max_size=8) | st.just("deep/" * 900)


@pytest.mark.parametrize("name", ["100", "ward/c", "my records/s0010_re", "records.v1/100", "a" * 200, "é/1", "x_0-a"])
def test_allowed_names_stay(name):
    assert wfdb_name(name) == name


@pytest.mark.parametrize(("name", "expected"), [
    ("patient 1", "patient_1"), ("rec.2024+b", "rec_2024_b"), ("Zoë", "Zoe"), ("a//b", "a/b"), ("./x", "x"),
    ("/etc/passwd", "etc/passwd"), ("../up", "__/up"), ("", "record"), ("a.dat/x", "a_dat/x"), ("\x1b[31m", "__31m"),
    ("x::y/1", "x__y/1"), ("..", "__"), ("\ud800", "_"),
])  # fmt: skip
def test_other_names_are_mapped(name, expected):
    assert wfdb_name(name) == expected == wfdb_name(expected)


def test_long_names_are_cut_and_stay_different():
    first, second = (wfdb_name("x" * 5000 + end) for end in "ab")
    assert first != second and first[:100] == "x" * 100 and len(first) < 130
    assert len(wfdb_name("deep/" * 900 + "a")) < 130


def test_equal_names_get_numbers_and_a_name_that_is_allowed_stays():
    assert unique_names(["a b", "a_b", "A_B", "a-2", "a", "A", "a//b", "a/b"]) == [
        "a_b-2", "a_b", "A_B-3", "a-2", "a", "A-3", "a/b-2", "a/b"
    ]  # fmt: skip


@quick
@given(st.lists(raw_names, max_size=12))
def test_any_names_become_as_many_files_that_wfdb_reads(names):
    paths = unique_names(names)
    assert len({path.casefold() for path in paths}) == len(names) == len(paths) and paths == unique_names(names)
    with tempfile.TemporaryDirectory() as folder:
        for index, path in enumerate(paths):
            write_record(Record(np.full((1, 2), index / 1000), 100, ("II",)), folder, path)
        assert len(find_records(folder) if names else []) == len(names)
        for index, path in enumerate(paths):
            assert wfdb.rdrecord(str(Path(folder, path)), physical=False).d_signal[0, 0] == index


@quick
@given(st.text(max_size=30))
def test_mapping_twice_changes_nothing_more(name):
    assert wfdb_name(wfdb_name(name)) == wfdb_name(name)
