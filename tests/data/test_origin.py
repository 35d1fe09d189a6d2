"""What stores keep of the records they come from: leads, date and time, comments, and what was done to them."""

import csv
from dataclasses import replace
from datetime import datetime, time

import numpy as np
import pandas
import pytest
from stores import write_store, write_wfdb

from ecgvae.data.collection import Collection
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.data.tokens import Tokens
from ecgvae.signal import LEADS_12, write_record
from ecgvae.synthetic import simulate

START = datetime(2020, 12, 24, 23, 59, 50)


@pytest.fixture
def folder(tmp_path):
    """Two records of 20 s: one with a date, invented V1 and no V2; one with a time of day only."""
    record = simulate("normal", seconds=20, rate=200)
    leads = [lead for lead in LEADS_12 if lead not in ("V2", "aVR")]
    record = replace(record, comments=("age: 50", "drugs: digoxin"))
    write_record(replace(record.select(leads), start_time=START, invented_leads=("V1",)), tmp_path / "in", "dated")
    write_record(replace(record, start_time=time(23, 59, 55)), tmp_path / "in", "timed")
    return tmp_path / "in"


@pytest.fixture
def store(folder, tmp_path):
    return build_store(folder, tmp_path / "store", window=8, missing="zero", workers=1)


def test_windows_know_when_they_begin(store):
    assert store.records["start_time"].tolist() == ["2020-12-24T23:59:50", "2020-12-24T23:59:58",
                                                    "23:59:55", "00:00:03"]
    assert [store.record(row).start_time for row in range(4)] == [START, datetime(2020, 12, 24, 23, 59, 58),
                                                                  time(23, 59, 55), time(0, 0, 3)]


def test_windows_know_the_leads_that_were_recorded(store):
    recorded = tuple(lead for lead in LEADS_12 if lead not in ("aVR", "V1", "V2"))
    assert [store.source_leads(row) for row in range(4)] == [recorded, recorded, LEADS_12, LEADS_12]
    assert [store.record(row).invented_leads for row in range(4)] == [("V1",), ("V1",), (), ()]
    assert set(store.notes(1)) >= {"V2 is missing, set to 0 mV", "aVR is missing, derived from others",
                                   "V1 is invented by a model", "resampled from 200 Hz to 100 Hz"}


def test_stores_of_earlier_versions_know_them_from_their_notes(tmp_path):
    notes = [["V5 is missing, set to 0 mV", "V6 is flat"], [], ["II is missing, derived from others"]]
    columns = {"name": ["a", "a", "b"], "start": [0, 10, 0], "notes": notes,
               "start_time": ["long ago", "", "later"], "source_leads": ["all", "none", "some"]}   # labels of the user
    store = write_store(tmp_path / "old", np.ones((3, 3, 10)), ("II", "V5", "V6"), **columns)
    assert [store.source_leads(row) for row in range(3)] == [("II", "V6"), ("II", "V6"), ("V5", "V6")]
    assert store.record(0).start_time is None and "long ago" in store.records["start_time"].tolist()


def test_labels_of_these_names_are_the_users(folder, tmp_path):
    labels = pandas.DataFrame({"start_time": ["8 h", "9 h"], "split": "train"}, index=["dated", "timed"])
    store = build_store(folder, tmp_path / "out", labels=labels, missing="zero", workers=1)
    assert store.records["start_time"].tolist() == ["8 h", "9 h"] and store.record(0).start_time is None
    assert store.manifest["origin_columns"] == ["source_leads"] and "V2" not in store.source_leads(0)


def test_tokens_know_the_record_behind_a_window(store):
    collection = Collection([store.path])
    entry = collection.entries[1]
    tokens = collection.with_origin(entry, Tokens((), 800, "dated", 100, 800, source_leads=("V1", "V2", "V3")), 100)
    assert (tokens.start, tokens.start_time, tokens.source_leads) == (800, datetime(2020, 12, 24, 23, 59, 58), ("V3",))
    first = collection.with_origin(collection.entries[0], Tokens((), 800, "dated", 100, 800, notes=("mine",)), 100)
    assert first.source_leads is None and {"mine", "V2 is missing, set to 0 mV"} <= set(first.notes)


def test_comments_can_be_left_out(folder, tmp_path, store):
    without = build_store(folder, tmp_path / "without", window=8, missing="zero", comments=False, workers=1)
    assert store.record(0).comments == ("age: 50", "drugs: digoxin") and without.record(0).comments == ()
    assert b"digoxin" not in b"".join(path.read_bytes() for path in without.path.iterdir())
    assert without.fingerprint == store.fingerprint
    with pytest.raises(ValueError, match="comments='no'; wanted True or False"):
        build_store(folder, tmp_path / "third", comments="no")


def test_notes_are_in_the_list_of_skipped_records(folder, tmp_path):
    (folder / "broken.hea").write_text("nothing")
    store = build_store(folder, tmp_path / "out", rate=500, missing="zero", workers=1)
    with open(store.path / "skipped.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows if row["kind"] == "skipped"] == ["broken"]
    note = "upsampled from 200 Hz to 500 Hz: nothing above 100 Hz"
    assert [row["path"] for row in rows if row["reason"] == note and row["kind"] == "note"] == ["dated", "timed"]
    assert store.resampled == {200: 2} and store.manifest["skipped"] == 1
    assert Store(store.path).notes(0)[0] == note


def test_microvolts_that_a_header_calls_millivolts_are_skipped(tmp_path):
    record = simulate("normal", seconds=10, rate=100)
    write_record(record, tmp_path / "in", "right")
    write_record(replace(record, signal=1000 * record.signal), tmp_path / "in", "wrong")
    write_record(replace(record, signal=record.signal + 25), tmp_path / "in", "offset")     # of the electrodes
    write_record(replace(record, signal=0 * record.signal + 80), tmp_path / "in", "off")
    two = replace(record.select(("II", "V5")), signal=1000 * record.select(("II", "V5")).signal)
    write_record(two, tmp_path / "in", "two")
    write_wfdb(tmp_path / "in" / "volts", np.rint(20 * record.signal.T), rate=100, gain=20_000)
    store = build_store(tmp_path / "in", tmp_path / "out", missing="zero", workers=1)
    assert store.records["name"].tolist() == ["offset", "right", "volts"]
    assert ["another unit" in " ".join(store.notes(row)) for row in range(3)] == [False, False, True]
    skipped = pandas.read_csv(store.path / "skipped.csv").query("kind == 'skipped'")
    assert skipped["reason"].str.startswith("absurd amplitudes: ").sum() == 3
    everything = build_store(tmp_path / "in", tmp_path / "all", missing="zero", workers=1, any_amplitude=True)
    assert everything.records["name"].tolist() == ["off", "offset", "right", "two", "volts", "wrong"]
    assert everything.notes(5)[0].startswith("absurd amplitudes: ")
