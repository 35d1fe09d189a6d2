import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest

from ecgvae.data.store import Store
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
    assert skipped[skipped["kind"] == "skipped"]["path"].tolist() == ["records100/00000/00004_lr.hea"]
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
