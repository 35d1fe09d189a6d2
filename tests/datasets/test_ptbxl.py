import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from commands import call, mistake

from ecgvae.data.store import Store
from ecgvae.resources import recognize_dataset
from ecgvae.signal import LEADS_12, read_record

SCRIPT = Path(__file__).parents[2] / "datasets" / "ptbxl" / "prepare.py"

DATABASE = """\
ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr
1,7.0,56.0,1,"{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}",3,records100/00000/00001_lr,records500/00000/00001_hr
2,8.0,300.0,0,"{'IMI': 0.0, 'ASMI': 50.0, 'NDT': 100.0}",10,records100/00000/00002_lr,records500/00000/00002_hr
3,8.0,,0,"{'AFLT': 100.0}",10,records100/00000/00003_lr,records500/00000/00003_hr
4,9.0,40.0,0,"{'AFLT': 100.0}",9,records100/00000/00004_lr,records500/00000/00004_hr
"""
STATEMENTS = """\
,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NDT,non-diagnostic T abnormalities,1.0,1.0,,STTC,STTC
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
ASMI,anteroseptal myocardial infarction,1.0,,,MI,AMI
LVOLT,low QRS voltages in limb leads,,1.0,,,
SR,sinus rhythm,,,1.0,,
AFLT,atrial flutter,,,1.0,,
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prepare_ptbxl", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path, write_raw_record):
    """Four records: 1 and 2 at both rates, 3 only at 500 Hz, 4 nowhere."""
    source = tmp_path / "ptb-xl"
    for index, rate, suffix in [(1, 100, "lr"), (1, 500, "hr"), (2, 100, "lr"), (2, 500, "hr"), (3, 500, "hr")]:
        name = f"{index:05d}_{suffix}"
        lines = [f"{name}.dat 16 1000.0(0)/mV 16 0 0 0 0 {lead.upper()}" for lead in LEADS_12]
        stored = np.full((10 * rate, 12), index * 1000 + rate)
        write_raw_record(source / f"records{rate}" / "00000", name,
                         "\n".join([f"{name} 12 {rate} {10 * rate}", *lines]), stored)
    (source / "ptbxl_database.csv").write_text(DATABASE)
    (source / "scp_statements.csv").write_text(STATEMENTS)
    return source


def test_labels_are_those_of_the_tables(script, folder, tmp_path):
    store = script.prepare(folder, tmp_path / "out", workers=1)
    records = store.records.set_index("patient")
    assert store.records["name"].str[-8:].tolist() == ["00001_lr", "00002_lr", "00003_hr"]
    first, second, third = (row for _, row in records.iterrows())
    assert (first["fold"], first["age"], first["sex"]) == (3, 56, "female")
    assert first["superclass"].tolist() == ["NORM"] and first["statements"].tolist() == ["NORM", "LVOLT", "SR"]
    assert second["superclass"].tolist() == ["MI", "STTC"] and second["age"] == 300 and second["sex"] == "male"
    assert second["subclass"].tolist() == ["AMI", "IMI", "STTC"]
    assert not len(third["superclass"]) and third["statements"].tolist() == ["AFLT"] and pandas.isna(third["age"])
    skipped = pandas.read_csv(store.path / "skipped.csv")
    assert skipped[skipped["kind"] == "skipped"]["path"].tolist() == ["records100/00000/00004_lr"]
    assert store.split("train").tolist() == [0] and store.split("test").tolist() == [1, 2]


@pytest.mark.parametrize("rate, sets", [
    (100, [100, 100, 500]), (50, [100, 100, 500]), (250, [500, 500, 500]), (1000, [500, 500, 500])
])
def test_the_file_set_at_or_above_the_rate_is_read(script, folder, tmp_path, rate, sets):
    store = script.prepare(folder, tmp_path / "out", rate=rate, workers=1)
    assert store.records["rate"].tolist() == sets and store.records["length"].tolist() == [10 * rate] * 3
    for index, own in enumerate(sets):
        np.testing.assert_allclose(store.signal(index), index + 1 + own / 1000, atol=3e-3)


def test_the_fastest_set_serves_where_none_is_fast_enough(script, folder, tmp_path):
    for path in (folder / "records500" / "00000").glob("00001*"):
        path.unlink()
    store = script.prepare(folder, tmp_path / "out", rate=250, workers=1)
    assert store.records["rate"].tolist() == [100, 500, 500]


def run_script(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_the_command(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SCRIPT.parents[2]))
    done = run_script(folder, tmp_path / "out", "--rate", "50", "--workers", "1")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("3 records at 50 Hz in ") and "1 skipped" in done.stdout
    assert Store(tmp_path / "out").rate == 50
    again = run_script(folder, tmp_path / "out")
    assert again.returncode == 2 and again.stderr == f"error: {tmp_path / 'out'} exists; use --overwrite\n"
    wrong = run_script(tmp_path, tmp_path / "b")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1 and "ptbxl_database.csv is not there" in wrong.stderr


def test_without_comments_the_columns_of_the_table_stay_and_are_named(folder, tmp_path):
    remark = "sex, superclass, subclass, statements come from the table and stay in the store (with --dataset none they"
    words = ("prepare", folder, tmp_path / "out", "--workers", 1)
    assert remark not in call(*words).stderr
    result = call(*words, "--no-comments", "--overwrite")
    assert remark in result.stderr and "fold, patient, age, sex" in result.stderr
    assert "stay in the store" not in call(*words, "--no-comments", "--dataset", "none", "--overwrite").stderr
    table = tmp_path / "labels.csv"
    table.write_text("record,weight\nrecords100/00000/00001_lr,80\n")
    result = call(*words, "--no-comments", "--table", table, "--overwrite")
    assert "weight come from the table and stay in the store (without --table they are left out)" in result.stderr


def test_real_records(script, data, tmp_path):
    source = data / "ptb-xl-subset"
    table = script.read_table(source)
    classes = pandas.read_csv(source / "scp_statements.csv", index_col=0).query("diagnostic == 1")

    def aggregate_diagnostic(own):  # as in example_physionet.py
        return {classes.loc[key].diagnostic_class for key in own if key in classes.index}

    codes = pandas.read_csv(source / "ptbxl_database.csv", index_col="ecg_id").scp_codes.apply(ast.literal_eval)
    assert len(table) == 2415
    assert table["superclass"].map(set).to_dict() == codes.apply(aggregate_diagnostic).to_dict()
    assert set(table["superclass"].explode().dropna()) == {"NORM", "MI", "STTC", "CD", "HYP"}
    assert table["fold"].between(1, 10).all() and table["sex"].isin(["male", "female"]).all()
    few = tmp_path / "few"
    few.mkdir()
    for name in ("records100", "records500", "scp_statements.csv"):
        (few / name).symlink_to(source / name)
    database = pandas.read_csv(source / "ptbxl_database.csv", dtype=str, keep_default_na=False)
    database[database["strat_fold"] == "9"].iloc[:4].to_csv(few / "ptbxl_database.csv", index=False)
    for rate in (100, 500):
        store = script.prepare(few, tmp_path / f"out{rate}", rate=rate, workers=1)
        assert len(store) == 4 and store.manifest["skipped"] == 0
        for index, name in enumerate(store.records["name"]):
            np.testing.assert_allclose(store.signal(index), read_record(source / name).signal, atol=1e-6)


@pytest.mark.parametrize("inside", [".", "records100", "records500", "records100/00000", "records500/../records100"])
def test_its_folders_are_recognized(script, folder, tmp_path, inside):
    source, out = folder / inside, tmp_path / "out"
    assert script.recognize(source) and recognize_dataset(source) == "ptbxl"
    result = call("prepare", source, out, "--workers", "1")
    assert f"{source} is recognized as the data set ptbxl: its labels, patients and folds are taken" in result.stderr
    assert "no folds" not in result.stderr
    records = Store(out).records.set_index("patient")
    assert records["fold"].to_dict() in ({7: 3, 8: 10}, {7: 3, 8: 10, 9: 9}) or inside == "."
    assert records.loc[7, "superclass"].tolist() == ["NORM"] and records.loc[7, "fold"] == 3
    name = records.loc[7, "name"]
    expected = read_record(source / name).signal[:, ::5 if "_hr" in name else 1]
    np.testing.assert_array_equal(Store(out).signal(0), expected)


def test_other_folders_are_not_recognized(script, folder, records, tmp_path):
    (folder / "mine").mkdir()
    for path in (folder / "mine", folder.parent, records, tmp_path / "nowhere", folder / "ptbxl_database.csv"):
        assert not script.recognize(path) and recognize_dataset(path) is None


def test_nothing_is_taken_if_that_is_wanted(folder, tmp_path):
    result = call("prepare", folder, tmp_path / "out", "--dataset", "none", "--workers", "1")
    assert "2 ECGs are there at 100 and 500 Hz" in result.stderr and "is recognized" not in result.stderr
    assert "5 records are named like PTB-XL's, but its patients and folds are not taken" in result.stderr
    assert "no folds: split at random by record" in result.stderr and "fold" not in Store(tmp_path / "out").records
    (tmp_path / "labels.csv").write_text("record,fold\nrecords100/00000/00001_lr,3\n")
    result = call("prepare", folder, tmp_path / "second", "--table", tmp_path / "labels.csv", "--workers", "1")
    assert "their splits come from the table" in result.stderr and "is recognized" not in result.stderr


def test_what_is_missing_is_said_with_the_way_out(folder, tmp_path):
    (folder / "scp_statements.csv").unlink()
    assert mistake("prepare", folder / "records100", tmp_path / "out").endswith(
        f"{folder / 'scp_statements.csv'} is not there; wanted the folder of PTB-XL; --dataset none prepares the "
        "records without labels, patients and folds")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("column", ["scp_codes", "strat_fold", "patient_id", "age", "sex", "filename_lr", "filename_hr"
                                    ])
@pytest.mark.parametrize("cell", ["(" * 5000, "[" * 90_000, "{1: 2}", "{'a': 1", "/etc/passwd", "../../x", "", "1.5",
                                  "1e400", "9" * 40, "\0", "[]", "é"])
def test_odd_cells_are_one_line(script, folder, tmp_path, column, cell):
    table = pandas.read_csv(folder / "ptbxl_database.csv", dtype=str)
    table.loc[0, column] = cell
    table.to_csv(folder / "ptbxl_database.csv", index=False)
    try:
        store = script.prepare(folder, tmp_path / "out", workers=1)
    except ValueError as error:
        assert "\n" not in str(error) and "ptbxl_database.csv" in str(error) and len(str(error)) < 500
    else:
        assert column != "scp_codes" and len(store) in (2, 3)


@pytest.mark.parametrize("text, message", [
    ("", "is not a table"), ("ecg_id,age\n1,2\n", "has no columns scp_codes, sex"), ("\0\1\2", "has no columns"),
    ('a,"b\n1', "is not a table"), (b"\xff\xfe\xff", "is not a table"),
])
def test_other_tables_are_one_line(script, folder, tmp_path, text, message):
    (folder / "ptbxl_database.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert message in mistake("prepare", folder, tmp_path / "out")
    (folder / "ptbxl_database.csv").write_text(DATABASE)
    (folder / "scp_statements.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "scp_statements.csv" in mistake("prepare", folder, tmp_path / "out")


def test_records_that_the_table_lacks_are_counted(script, folder, tmp_path):
    assert script.prepare(folder, tmp_path / "one", workers=1).remarks == ()
    for suffix in (".hea", ".dat"):
        path = folder / "records100" / "00000" / f"00001_lr{suffix}"
        path.with_name(f"00009_lr{suffix}").write_bytes(path.read_bytes())
    remark = "1 record is left out, which ptbxl_database.csv does not have"
    assert script.prepare(folder, tmp_path / "two", workers=1).remarks == (remark,)
    assert script.prepare(folder / "records100", tmp_path / "three", workers=1).remarks == (remark,)
