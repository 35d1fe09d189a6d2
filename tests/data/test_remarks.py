"""Remarks about what is in a folder of records besides those that are used."""

import numpy as np
import pandas
import pytest
from stores import write_wfdb

from ecgvae.data.collection import Collection
from ecgvae.data.prepare import build_store
from ecgvae.data.remarks import folds_remark, rates_remark


@pytest.fixture
def folder(tmp_path):
    """Records of PTB-XL's names: three at 100 Hz, two of them at 500 Hz."""
    for folder, suffix, count in (("records100", "lr", 3), ("records500", "hr", 2)):
        for index in range(count):
            write_wfdb(tmp_path / "in" / folder / "00000" / f"{index:05d}_{suffix}", np.ones((20, 12)),
                       rate=int(folder[7:]))
    return tmp_path / "in"


def test_ecgs_at_two_rates_are_counted(folder, tmp_path):
    line = "2 ECGs are there at 100 and 500 Hz; give records100 or records500 to have each once"
    assert Collection([folder]).remarks == [line]
    assert Collection([folder / "records100", folder / "records500"]).remarks == [line]
    assert Collection([folder / "records100"]).remarks == []
    with pytest.warns(UserWarning, match="5 records are named like PTB-XL's"):
        store = build_store(folder, tmp_path / "out", workers=1)
    assert store.remarks[0] == line and "patients and folds are not taken" in store.remarks[1]
    assert store.remarks[2].startswith("no folds: split at random by record")


def test_other_names_are_not_taken_for_one_ecg():
    assert rates_remark(["a/1_lr", "a/1_hr", "records100/x", "records500/x", "00001_lr", "00002_hr"]) == []
    (line,) = rates_remark(["records100/00001_lr", "records500/00001_hr"])
    assert line.startswith("1 ECG is there at 100 and 500 Hz")


def test_folds_of_a_table_are_enough():
    names = ["records100/00000/00001_lr"]
    assert folds_remark(["a", "b"], None) == [] and folds_remark(names, pandas.DataFrame({"fold": [1]})) == []
    assert folds_remark(names, None)[0].startswith("1 record is named like PTB-XL's")
    assert folds_remark(names, pandas.DataFrame({"age": [1]}))


def test_signals_in_other_formats_are_counted(records, tmp_path):
    folder = tmp_path / "in"
    for index in range(3):
        write_wfdb(folder / "ward" / f"r{index}", np.ones((20, 12)))
    for name in ("a.edf", "ward/b.EDF", "ward/r0.edf", "ward/r1.mat", "x.mat", ".x.edf", "ward/a.xml", "ward/r2.xml",
                 "labels.csv", "README.txt"):
        (folder / name).write_bytes(b"0")
    edf, mat, xml = Collection([folder]).remarks
    assert f"{folder}: 2 .edf files are passed over: EDF; wanted WFDB: read it with wfdb" in edf
    assert "1 .mat file is passed over: MATLAB" in mat and "1 .xml file is passed over: XML, such as HL7 aECG" in xml
    assert [line for line in build_store(folder, tmp_path / "out", workers=1).remarks if "passed over" in line] == [
        line.removeprefix(f"{folder}: ") for line in (edf, mat, xml)]
    rows = pandas.read_csv(tmp_path / "out" / "skipped.csv").query("kind == 'passed over'")
    assert [f"{path}: {reason}" for path, reason in rows[["path", "reason"]].to_numpy()] == [edf, mat, xml]
    assert Collection([records]).remarks == []
