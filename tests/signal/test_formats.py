"""Files of other formats: they are named, and what is advised makes WFDB of them."""

import re

import numpy as np
import pytest
import wfdb
import wfdb.io.convert

from ecgvae.signal import find_records, open_record, read_record, write_record
from ecgvae.signal.formats import CONVERTERS
from ecgvae.synthetic import simulate

FORMATS = {
    ".edf": "EDF", ".EDF": "EDF", ".bdf": "BDF", ".dcm": "DICOM", ".npy": "NumPy", ".npz": "NumPy", ".csv": "CSV",
    ".tsv": "TSV", ".txt": "text", ".mat": "MATLAB without a WFDB header", ".scp": "SCP-ECG", ".xml": "XML",
    ".h5": "HDF5", ".hdf5": "HDF5",
}  # fmt: skip


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_another_format_is_named_with_its_converter(tmp_path, suffix):
    file = tmp_path / f"r{suffix}"
    file.write_bytes(b"0")
    paths = [file, str(file), *([tmp_path / "r"] if suffix.islower() else [])]
    for read in (read_record, open_record, find_records):
        for path in paths:
            with pytest.raises(ValueError) as caught:
                read(path)
            assert str(caught.value).startswith(f"{file} is {FORMATS[suffix]}")
            assert re.search("; wanted WFDB: (read|convert) .*(write_record|wrsamp|csv_to_wfdb)", str(caught.value))
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_of_another_format_is_named_with_its_converter(tmp_path, suffix):
    for name in ("a/r0", "a/r1", "b/r2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}{suffix}").write_bytes(b"0")
    with pytest.raises(ValueError) as caught:
        find_records(tmp_path)
    message = f"no WFDB records (.hea) under {tmp_path}; it has 3 {suffix.lower()} files, which are {FORMATS[suffix]}"
    assert str(caught.value).startswith(message)
    with pytest.raises(ValueError, match="it has a .* file, which is "):
        open_record(tmp_path / "b")


def test_signals_are_named_before_the_texts_that_describe_them(tmp_path):
    for name in ("r0.edf", "r1.edf", "labels.csv", "README.txt", "a.txt", "b.txt", ".hidden.npy", "x.npy", "notes"):
        (tmp_path / name).write_bytes(b"0")
    with pytest.raises(ValueError, match="it has 2 .edf files, which are EDF: "):
        find_records(tmp_path)


def test_a_folder_with_records_too_works_on_the_records(tmp_path):
    path = write_record(simulate("normal", seconds=1), tmp_path, "r")
    for name in ("other.edf", "labels.csv", "r.txt", "r.mat"):
        (tmp_path / name).write_bytes(b"0")
    assert find_records(tmp_path) == [path]
    assert read_record(tmp_path / "r.txt").samples == 500
    with pytest.raises(FileNotFoundError):
        open_record(tmp_path)


def test_what_is_of_no_known_format_stays_missing(tmp_path):
    (tmp_path / "r.dat").write_bytes(b"0")
    with pytest.raises(FileNotFoundError, match="r.hea is not there; wanted a WFDB record"):
        read_record(tmp_path / "r.dat")
    with pytest.raises(ValueError, match=r"no WFDB records \(.hea\) under [^;]*$"):
        find_records(tmp_path)


def test_the_advice_for_edf_makes_wfdb(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    record = simulate("normal", seconds=10, rate=500)
    write_record(record, tmp_path, "original")
    wfdb.io.convert.wfdb_to_edf("original")
    edf = wfdb.io.convert.read_edf("original.edf")
    wfdb.wrsamp("r", edf.fs, edf.units, edf.sig_name, p_signal=edf.p_signal, fmt=["16"] * edf.n_sig)
    again = read_record("r")
    assert (again.rate, again.leads) == (record.rate, record.leads)
    np.testing.assert_allclose(again.signal[:, :5000], record.signal, atol=1e-3)
    assert "wfdb.io.convert.read_edf" in CONVERTERS[".edf"][1] and "wfdb.wrsamp" in CONVERTERS[".edf"][1]


@pytest.mark.parametrize("suffix, delimiter", [(".csv", ","), (".tsv", "\t")])
def test_the_advice_for_csv_makes_wfdb(tmp_path, monkeypatch, suffix, delimiter):
    monkeypatch.chdir(tmp_path)
    record = simulate("normal", seconds=2, rate=500)
    np.savetxt(f"r{suffix}", record.signal.T, delimiter=delimiter, header=delimiter.join(record.leads), comments="")
    advice = CONVERTERS[suffix][1].removeprefix("convert it with wfdb.io.convert.csv_to_wfdb")
    eval(f"convert{advice}", {"convert": wfdb.io.convert.csv_to_wfdb, "file": f"r{suffix}", "rate": 500})
    again = read_record("r")
    assert (again.rate, again.leads) == (500, record.leads)
    np.testing.assert_allclose(again.signal, record.signal, atol=6e-3)      # 5 µV a step by default
