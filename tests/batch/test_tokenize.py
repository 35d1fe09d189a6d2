"""Records to token files and back, from the command line and in several processes."""

import csv
from pathlib import Path

import numpy as np
import pandas
import pytest
from commands import call, mistake

from ecgvae.batch import job
from ecgvae.batch import tokenize as batch
from ecgvae.data.collection import Collection
from ecgvae.data.tokens import open_tokens
from ecgvae.signal import Record, read_record, write_record
from ecgvae.tokenizer import Tokenizer


def assert_equal_files(path: Path, expected: Path) -> None:
    assert open_tokens(path).header == open_tokens(expected).header
    pandas.testing.assert_frame_equal(pandas.read_parquet(path), pandas.read_parquet(expected))


def write_two_leads(folder: Path, name: str) -> Path:
    return write_record(Record(np.zeros((2, 100), np.float32), 100, ("II", "V5")), folder, name)


def test_tokenize_with_the_first_codebooks_only(records, model, tokens, tmp_path):
    out = tmp_path / "out.parquet"
    sources = records / "a", records / "ward" / "c.hea"
    result = call("tokenize", *sources, "--out", out, "--model", model, "--codebooks", 1)
    assert "83.3333 bit/s" in result.stdout
    assert [item.name for item in open_tokens(out)] == ["a", "c"]
    assert np.array_equal(open_tokens(out)[0].codes, open_tokens(tokens)[0].codes[:1])
    assert "codebooks is 4; tiny has 1 to 3" in mistake("tokenize", records, "--out", tmp_path / "x", "--model", model,
                                                        "--codebooks", 4)


def test_tokens_of_a_store_refer_to_the_original_records(records, model, tmp_path):
    call("prepare", records, tmp_path / "store", "--workers", 1, "--window", 2, "--rate", 50, "--leads", "standard-12")
    call("tokenize", tmp_path / "store", "--out", tmp_path / "out.parquet", "--model", model)
    rows = [(item.name, item.start, item.samples, item.source_rate, item.source_samples)
            for item in open_tokens(tmp_path / "out.parquet")]
    windows = [(name, start, 200, 200.0, 400) for name in ("a", "b", "ward/c") for start in (0, 200)]
    assert rows == windows
    call("detokenize", tmp_path / "out.parquet", "--out", tmp_path / "decoded", "--model", model)
    assert read_record(tmp_path / "decoded/ward/c_200").samples == 400


def test_tokens_of_a_store_of_whole_records_equal_those_of_its_files(store, model, tokens, tmp_path):
    call("tokenize", store, "--out", tmp_path / "out.parquet", "--model", model)
    columns = ["record", "start", "samples", "source_rate", "source_samples"]
    expected, rows = (pandas.read_parquet(path)[columns] for path in (tokens, tmp_path / "out.parquet"))
    pandas.testing.assert_frame_equal(rows, expected)


def test_two_records_of_one_name_are_refused(records, tmp_path):
    with pytest.raises(ValueError, match=f"^{records / 'a'} and {records / 'a'} are both named a; "):
        Collection([records, records / "a"])


def test_unusable_records_are_left_out_and_listed(records, model, tmp_path):
    folder = tmp_path / "mixed"
    write_record(read_record(records / "a"), folder, "good")
    write_two_leads(folder, "short")
    write_record(read_record(records / "b"), folder / "ward", "unreadable")
    (folder / "ward" / "unreadable.dat").unlink()
    (folder / "ward" / "unreadable.dat").mkdir()
    (folder / "other.edf").write_bytes(b"0")
    out, listed = tmp_path / "out.parquet", tmp_path / "skipped.csv"
    result = call("tokenize", folder, "--out", out, "--model", model, "--skipped", listed)
    assert [item.name for item in open_tokens(out)] == ["good"]
    assert "short has leads II, V5; wanted I, II, V1" in result.stderr
    assert "--missing-leads zero" in result.stderr
    rows = list(csv.reader(listed.open()))
    assert rows[0] == ["path", "reason", "kind"] and {row[0] for row in rows if row[2] == "skipped"} == {
        "short", "ward/unreadable"}
    (other,) = (row for row in rows if row[2] == "passed over")
    assert other[0] == str(folder) and other[1].startswith("1 .edf file is passed over")


def test_missing_leads_as_zero(model, tmp_path):
    write_two_leads(tmp_path / "in", "short")
    out = tmp_path / "out.parquet"
    arguments = ("tokenize", tmp_path / "in", "--out", out, "--model", model)
    assert mistake(*arguments).startswith("ecgvae: none of 1 records can be used; the first, ")
    assert not out.exists() and not (tmp_path / "out.parquet.partial").exists()
    assert "V1 is missing, set to 0 mV" in call(*arguments, "--missing-leads", "zero").stderr
    assert "V1 is missing, set to 0 mV" in open_tokens(out)[0].notes


def test_interrupted_tokenizing_continues(records, model, tokens, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "PART_RECORDS", 1)
    write, written = batch.TokenizeJob.write_part, []

    def interrupted(self, entries, folder):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(entries)
        write(self, entries, folder)

    arguments = ("tokenize", records, "--out", tmp_path / "out.parquet", "--model", model)
    with monkeypatch.context() as patch:
        patch.setattr(batch.TokenizeJob, "write_part", interrupted)
        result = call(*arguments, code=130)
    assert result.stderr == "stopped; run the same command again to go on\n" and result.stdout == ""
    assert "started with other settings (codebooks)" in mistake(*arguments, "--codebooks", 1)
    monkeypatch.setattr(batch.TokenizeJob, "write_part", lambda *args: (written.append(args[1]), write(*args)))
    call(*arguments)
    assert len(written) == 3
    assert_equal_files(tmp_path / "out.parquet", tokens)


def test_processes_share_the_records(records, model, tokens, tmp_path, monkeypatch):
    """Simulates two processes: the second runs while the first waits for it."""
    monkeypatch.setattr(job, "PART_RECORDS", 1)
    write, broadcasts, results, running, shares = batch.TokenizeJob.write_part, [], [], [], []
    out, tokenizer = tmp_path / "out.parquet", Tokenizer.load(model)

    class ProcessState:
        num_processes = 2

        def __init__(self, index: int):
            self.process_index, self.is_main_process = index, index == 0

        def wait_for_everyone(self) -> None:
            if self.is_main_process:
                results.append(run(ProcessState(1)))

    def run(state):
        running.append(state)
        return batch.tokenize_files([records], out, tokenizer)

    def broadcast(value):
        broadcasts.append(value)
        return broadcasts[0]

    monkeypatch.setattr(job, "distributed_state", lambda: running[-1])
    monkeypatch.setattr(job, "broadcast_object", broadcast)
    monkeypatch.setattr(batch.TokenizeJob, "write_part",
                        lambda *args: (shares.append(running[-1].process_index), write(*args)))
    assert run(ProcessState(0)).records == 3 and results == [None] and shares == [0, 0, 1]
    assert_equal_files(out, tokens)
