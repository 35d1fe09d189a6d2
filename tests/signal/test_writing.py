import fcntl
from dataclasses import replace

import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ecgvae.signal import LEADS_12, Record, find_records, read_record, write_record
from ecgvae.signal.writing import write_blocks

quiet = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
microvolts = arrays(np.int16, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def record_of(signal, rate=100.0, **fields) -> Record:
    return Record(signal, rate, LEADS_12[: len(signal)], **fields)


@quiet
@given(microvolts, st.sampled_from([100, 257.5, 62.4725, 1 / 60, 499.9999]))
def test_whole_microvolts_come_back_to_the_bit_for_us_and_wfdb(tmp_path, stored, rate):
    record = record_of(np.where(stored == -32768, np.nan, stored.astype(np.float32) / np.float32(1000)), rate)
    path = write_record(record, tmp_path, overwrite=True)
    again = read_record(path)
    np.testing.assert_array_equal(again.signal, record.signal)
    assert (again.rate, again.leads) == (rate, record.leads)
    reference = wfdb.rdrecord(str(path))
    np.testing.assert_array_equal(reference.p_signal.T.astype(np.float32), record.signal)
    assert [number % 65536 for number in reference.checksum] == wfdb.rdrecord(
        str(path), physical=False
    ).calc_checksum()
    assert reference.init_value == stored[:, 0].tolist()


@quiet
@given(arrays(np.float32, (2, 9), elements=st.floats(-32000, 32000, width=32) | st.just(np.nan)))
def test_any_range_is_kept_within_its_resolution(tmp_path, signal):
    again = read_record(write_record(record_of(signal), tmp_path, overwrite=True)).signal
    peaks = np.nanmax(np.abs(signal), axis=1, initial=0, keepdims=True)
    steps = np.maximum(0.001, 2.5 * peaks / 32767)
    assert (np.isnan(again) == np.isnan(signal)).all()
    assert (np.abs(again - signal) <= 0.51 * steps)[~np.isnan(signal)].all()


@quiet
@given(
    arrays(np.float32, (2, 30), elements=st.floats(-300, 300, width=32) | st.just(np.nan)),
    st.lists(st.integers(0, 30), max_size=4),
)
def test_blocks_give_the_files_of_the_whole_record(tmp_path, signal, cuts):
    record = record_of(signal, comments=("a",), invented_leads=("II",))
    whole = write_record(record, tmp_path / "whole", overwrite=True)
    blocks = np.split(signal, sorted(cuts), axis=1)
    path = write_blocks(replace(record, signal=signal[:, :0]), lambda: iter(blocks), tmp_path, overwrite=True)
    for suffix in (".hea", ".dat"):
        assert path.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()


def test_the_draft_of_a_killed_process_is_replaced_and_that_of_a_running_one_is_not(tmp_path):
    draft = tmp_path / ".record.dat.partial"
    draft.write_bytes(b"left by a process that was killed" * 100)
    write_record(record_of(np.ones((1, 3))), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["record.dat", "record.hea"]
    with open(draft, "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OSError, match=r"another process is writing .*record\.dat"):
            write_record(record_of(np.zeros((1, 3))), tmp_path, overwrite=True)
        assert draft.exists()
    assert read_record(tmp_path / "record").signal.tolist() == [[1, 1, 1]]


def test_comments_name_and_folders_are_kept(tmp_path):
    record = record_of(np.ones((2, 3)), name="100", comments=("Age: 61", "5 µV  é", "two\nlines", ""))
    path = write_record(record, tmp_path, name="a/b/rec-1_x")
    assert path == tmp_path / "a" / "b" / "rec-1_x"
    assert find_records(tmp_path) == [path]
    assert read_record(path).comments == ("Age: 61", "5 µV é", "two lines", "")
    assert write_record(record, tmp_path).name == "100"
    assert len(list(tmp_path.rglob("*"))) == 6


def test_lead_names_are_kept(tmp_path):
    leads = ("12 lead", "II#2", "sig 0, fmt 8", "-aVR")
    record = Record(np.zeros((4, 2)), 100, leads)
    assert read_record(write_record(record, tmp_path)).leads == leads
    assert wfdb.rdheader(str(tmp_path / "record")).sig_name == list(leads)


@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_nothing_is_overwritten_unless_asked(tmp_path, suffix):
    (tmp_path / f"record{suffix}").write_text("precious")
    with pytest.raises(FileExistsError, match=f"record{suffix} exists; wanted a new name or overwrite"):
        write_record(record_of(np.ones((1, 3))), tmp_path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["precious"]
    write_record(record_of(np.ones((1, 3))), tmp_path, overwrite=True)
    assert read_record(tmp_path / "record").samples == 3


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = write_record(record_of(np.ones((1, 3))), tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_record(record_of(np.zeros((2, 5))), tmp_path, overwrite=True)
    assert read_record(path).signal.tolist() == [[1, 1, 1]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["record.dat", "record.hea"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    def blocks():
        yield np.zeros((1, 3), np.float32)
        raise OSError(28, "No space left on device")

    facts = record_of(np.zeros((1, 0)))
    with pytest.raises(OSError, match=r"No space left on device: '.*record'"):
        write_blocks(facts, blocks, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_old_header_never_describes_new_samples(tmp_path, monkeypatch):
    path = write_record(record_of(np.ones((1, 3))), tmp_path)
    rename = type(path).replace

    def fail_for_headers(draft, target):
        if target.suffix == ".hea":
            raise OSError("interrupted")
        rename(draft, target)

    monkeypatch.setattr(type(path), "replace", fail_for_headers)
    with pytest.raises(OSError, match="interrupted"):
        write_record(record_of(np.zeros((2, 5))), tmp_path, overwrite=True)
    with pytest.raises(FileNotFoundError):
        read_record(path)


@pytest.mark.parametrize(
    "name", ["/abs", "../up", "a/../../up", "", ".", "a b", "a.b", "naïve", "new\nline", "zero\0"]
)
def test_names_that_leave_the_folder_or_wfdb_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^[^\n]*; wanted|^[^\n]*; WFDB wants"):
        write_record(record_of(np.ones((1, 3))), tmp_path / "out", name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (np.zeros((1, 0)), "record has no samples"),
        (np.zeros((0, 3)), "record has no samples"),
        ([[1e6]], r"I reaches 1e\+06 mV; wanted at most 32767 mV"),
    ],
)
def test_what_format_16_cannot_hold_is_refused(tmp_path, signal, message):
    with pytest.raises(ValueError, match=message):
        write_record(record_of(signal), tmp_path)


def test_real_records_come_back_to_the_bit(data, tmp_path):
    for path in find_records(data / "ptb-xl-subset" / "records500")[:5]:
        record = read_record(path)
        again = read_record(write_record(record, tmp_path))
        np.testing.assert_array_equal(again.signal, record.signal)
        assert (again.leads, again.comments) == (record.leads, record.comments)
