"""The command prepare: data sets, tables and lead maps."""

import inspect
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from commands import call, mistake

from ecgvae import resources
from ecgvae.data import prepare
from ecgvae.data.store import Store


class TwoRecords(SimpleNamespace):
    """A store of two records, as far as prepare prints it."""

    records = pandas.DataFrame({"name": ["a", "c"]})
    remarks = ("no folds",)

    def __len__(self) -> int:
        return 2

    def split(self, name: str) -> list[int]:
        return {"train": [0], "test": [1]}.get(name, [])


@pytest.fixture
def built(records, monkeypatch, tmp_path) -> dict:
    """The arguments of `build_store`, which is replaced by a function that notes them."""
    arguments = {}

    def build_store(source, out, **options):
        arguments.update(options, source=source, out=out)
        out.mkdir()
        (out / "skipped.csv").write_text("record,reason\nb,broken\n")
        manifest = {"unmatched_rows": 2, "unlabelled_records": 1}
        return TwoRecords(path=out, leads=("I", "II"), rate=100.0, manifest=manifest)

    build_store.__signature__ = inspect.signature(prepare.build_store)
    monkeypatch.setattr(prepare, "build_store", build_store)
    return arguments


@pytest.fixture
def two_data_sets(tmp_path, monkeypatch):
    """Scripts of two data sets: one passes its options on, the other has no option but the rate."""
    scripts = {"open": "def prepare(source, out, rate=100, **options):\n    return build_store(source, out, "
                       "rate=rate, labels='labels', **options)\n",
               "closed": "def prepare(source, out, rate=100):\n    return build_store(source, out, rate=rate)\n"}
    for name, text in scripts.items():
        path = tmp_path / "datasets" / name / "prepare.py"
        path.parent.mkdir(parents=True)
        path.write_text(f"from ecgvae.data.prepare import build_store\n{text}")
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)


def test_prepare_makes_a_store(records, tmp_path):
    out = tmp_path / "store"
    assert call("prepare", records, out, "--rate", "50", "--leads", "I,V1", "--workers", "1").stdout == (
        f"3 records with 2 leads at 50 Hz in {out}\n")
    store = Store(out)
    assert (store.leads, store.rate, len(store)) == (("I", "V1"), 50, 3)


def test_skipped_records_are_listed_and_counted(records, tmp_path, write_raw_record):
    write_raw_record(tmp_path / "in", "broken", "no header")
    for name in ("a.hea", "a.dat"):
        shutil.copy(records / name, tmp_path / "in")
    result = call("prepare", tmp_path / "in", tmp_path / "store", "--workers", "1")
    assert "skipped (1 record):\n  broken: " in result.stderr and result.stdout.endswith("; 1 record skipped\n")


def test_a_data_set_has_its_own_script(records, two_data_sets, built, tmp_path):
    words = ("prepare", records, tmp_path / "out", "--dataset", "open", "--rate", "250", "--window", "2")
    result = call(*words, "--leads", "II,V2", "--missing-leads", "zero", "--workers", "3", "--overwrite")
    progress = built.pop("progress")
    assert callable(progress) and built == {
        "source": records, "out": tmp_path / "out", "labels": "labels", "rate": 250, "leads": ("II", "V2"), "window": 2,
        "missing": "zero", "workers": 3, "overwrite": True}
    assert "no folds\n2 rows of the table without a record\n1 record without a row of the table\n" in result.stderr
    assert result.stdout == (f"2 windows of 2 of 3 records with 2 leads at 100 Hz in {tmp_path / 'out'}; "
                             "1 record skipped\n")


def test_an_option_that_a_script_does_not_take_is_one_line(records, two_data_sets, built, tmp_path):
    words = ("prepare", records, tmp_path / "out", "--dataset", "closed")
    assert mistake(*words, "--window", "2", "--workers", "3").endswith(
        "the script of data set closed has no option workers, window")
    assert not (tmp_path / "out").exists()
    call(*words, "--rate", "250")
    assert built["rate"] == 250 and "window" not in built


def test_an_unknown_data_set_names_the_nearest(records, tmp_path):
    assert "no data set ptb-xl; wanted one of ptbxl; did you mean ptbxl?" in mistake(
        "prepare", records, tmp_path / "out", "--dataset", "ptb-xl")
    assert "ptbxl_database.csv is not there; wanted the folder of PTB-XL" in mistake(
        "prepare", records, tmp_path / "out", "--dataset", "ptbxl")


def test_a_table_adds_labels(records, tmp_path):
    table, out = tmp_path / "labels.csv", tmp_path / "store"
    table.write_text("record,patient,split,rhythm\na,7,train,SR\nward/c,7,test,AF;MI\nnope,9,val,SR\n")
    result = call("prepare", records, out, "--table", table, "--workers", "1")
    assert result.stderr == ("notes (3 records):\n  3 records, such as a: resampled from 200 Hz to 100 Hz\n"
                             "1 row of the table without a record\n1 record without a row of the table\n"
                             "1 patient with records in several splits: evaluation will be too optimistic\n"
                             "1 record in no split\n")
    store = Store(out)
    rhythms = store.records.set_index("name")["rhythm"].to_dict()
    assert rhythms["b"] is None and list(rhythms["a"]) == ["SR"] and list(rhythms["ward/c"]) == ["AF", "MI"]
    facts = json.loads(call("info", out, "--json").stdout)
    assert (facts["unmatched_rows"], facts["unlabelled_records"]) == (1, 1)
    assert facts["labels"] == ["patient", "split", "rhythm"]
    assert facts["splits"] == {"train": 1, "validation": 0, "test": 1}
    assert call("--quiet", "prepare", records, tmp_path / "again", "--table", table, "--workers", "1").stderr == ""


def test_a_damaged_table_is_one_line(records, tmp_path):
    (tmp_path / "labels.csv").write_text("record,fold\na,one\n")
    assert "labels.csv has folds that are not whole numbers; wanted 1 to 10" in mistake(
        "prepare", records, tmp_path / "out", "--table", tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("record,split\n")
    assert "labels.csv has no rows" in mistake(
        "prepare", records, tmp_path / "out", "--table", tmp_path / "labels.csv")
    assert not (tmp_path / "out").exists()


def test_a_lead_map_names_the_leads_of_channels(write_raw_record, tmp_path):
    write_raw_record(tmp_path, "two",
                     "two 2 100 400\ntwo.dat 16 200/mV 16 0 0 0 0 E1\ntwo.dat 16 200/mV 16 0 0 0 0 E2\n",
          [[20, 40]] * 400)
    words = ("prepare", tmp_path / "two", tmp_path / "store", "--leads", "II,V1", "--workers", "1", "--lead-map")
    call(*words, "E1=V1,E2=II")
    np.testing.assert_allclose(Store(tmp_path / "store").signal(0)[:, 200], [0.2, 0.1])
    assert "wanted NAME=LEAD pairs" in mistake(*words, "E1", "--overwrite")


def test_a_table_and_a_data_set_exclude_each_other(records, tmp_path):
    assert "--dataset and --table exclude each other; wanted only one of them" in mistake(
        "prepare", records, tmp_path / "out", "--dataset", "ptbxl", "--table", tmp_path / "labels.csv")


def test_what_was_left_out_is_counted_and_strict_ends_with_1(records, tmp_path, write_raw_record):
    shutil.copytree(records, tmp_path / "in")
    write_raw_record(tmp_path / "in", "broken", "no header")
    result = call("prepare", tmp_path / "in", tmp_path / "store", "--workers", "1", "--strict", code=1)
    assert result.stdout == (f"3 of 4 records with 12 leads at 100 Hz in {tmp_path / 'store'}; 1 record skipped\n")
    assert result.stderr.endswith("ecgvae: 1 record skipped, and --strict was given\n")
    call("prepare", records, tmp_path / "all", "--workers", "1", "--strict")
    words = ("prepare", tmp_path / "in" / "a", tmp_path / "wide", "--leads", "I,V9", "--workers", "1")
    assert "none of 1 records" in mistake(*words)


def test_comments_can_be_left_out(records, tmp_path):
    call("prepare", records, tmp_path / "with", "--workers", "1")
    call("prepare", records, tmp_path / "without", "--workers", "1", "--no-comments")
    assert any(Store(tmp_path / "with").record(row).comments for row in range(3))
    assert not any(Store(tmp_path / "without").record(row).comments for row in range(3))


def test_resampling_and_random_splits_are_said(records, tmp_path):
    result = call("prepare", records, tmp_path / "store", "--rate", "500", "--workers", "1")
    assert "  3 records, such as a: upsampled from 200 Hz to 500 Hz: nothing above 100 Hz\n" in result.stderr
    remark = "no folds: split at random by record, 1 train, 1 validation, 1 test"
    assert f"{remark}\n" in result.stderr
    facts = json.loads(call("info", tmp_path / "store", "--json").stdout)
    assert facts["resampled"] == {"200 Hz": 3} and facts["remarks"] == [remark]
    call("prepare", records / "a", tmp_path / "one", "--workers", "1")
    shown = call("info", tmp_path / "one").stdout
    assert "1 train, 0 validation, 0 test; three parts want 3 records or more" in " ".join(shown.split())


def test_a_rate_of_no_ecg_is_one_line(write_raw_record, tmp_path):
    write_raw_record(tmp_path, "slow", "slow 1 0.6 650000\nslow.dat 16 200/mV 16 0 0 0 0 II\n", [[20]] * 650000)
    words = ("prepare", tmp_path / "slow", tmp_path / "store", "--leads", "II", "--workers", "1")
    assert "slow has a rate of 0.6 Hz; wanted 20 Hz or more" in mistake(*words)
