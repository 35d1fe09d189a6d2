"""Token files to folders of WFDB records, from the command line and after interruptions."""

import csv
import errno
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from commands import call, mistake

from ecgvae import checkpoint
from ecgvae.data.tokens import CodebookSpec, open_tokens, write_tokens
from ecgvae.signal import LEADS_12, find_records, read_record, write_record
from ecgvae.signal.writing import write_blocks
from ecgvae.tokenizer import Tokenizer


@pytest.fixture
def decode(model, tokens, tmp_path):
    """Runs `ecgvae detokenize` with output to `decoded`; rows of the token file may be replaced."""
    file = open_tokens(tokens)

    def run(*options, rows=None, code=0):
        path = tokens if rows is None else write_tokens(tmp_path / "rows.parquet", file.header, rows, overwrite=True)
        return call("detokenize", path, "--out", tmp_path / "decoded", "--model", model, *options, code=code)

    run.rows = list(file)
    return run


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_detokenize_writes_records_under_their_names(records, model, decode, tmp_path):
    assert "3 records" in decode().stdout
    tokenizer = Tokenizer.load(model)
    mark = f"ecgvae: decoded by tiny ({tokenizer.identity}) from 250 bit/s"
    for name in ("a", "b", "ward/c"):
        original, decoded = read_record(records / name), read_record(tmp_path / "decoded" / name)
        assert (decoded.rate, decoded.samples) == (200, original.samples)
        assert decoded.comments == (*original.comments, mark)
        direct = write_record(tokenizer.decode(tokenizer.encode(original)), tmp_path / "direct", name)
        assert np.array_equal(decoded.signal, read_record(direct).signal)
    assert not (tmp_path / "decoded.partial").exists()


def test_detokenize_at_the_rate_of_the_model(decode, tmp_path):
    decode("--rate", "model")
    decoded = read_record(tmp_path / "decoded/ward/c")
    assert (decoded.rate, decoded.samples) == (100, 401)


def test_tokens_of_another_tokenizer_are_refused(model, tokens, tiny_settings, random_model, tmp_path):
    other = checkpoint.save(random_model(tiny_settings(), seed=1), tmp_path / "other")
    message = mistake("detokenize", tokens, "--out", tmp_path / "decoded", "--model", other)
    assert Tokenizer.load(model).identity in message and Tokenizer.load(other).identity in message
    assert "is from tiny, which is no shipped tokenizer; give its folder with --model" in mistake(
        "detokenize", tokens, "--out", tmp_path / "decoded")


def test_tokens_with_a_wrong_header_are_refused(model, tokens, tmp_path):
    file = open_tokens(tokens)
    wrong_header = replace(file.header, codebooks=tuple(CodebookSpec(spec.hop, 64) for spec in file.header.codebooks))
    write_tokens(tmp_path / "wrong.parquet", wrong_header, file)
    assert "is damaged" in mistake("detokenize", tmp_path / "wrong.parquet", "--out", tmp_path / "b", "--model", model)


# --- leads and comments


def test_only_leads_of_the_source_are_written_and_the_rest_on_demand(decode, tmp_path):
    rows = [replace(decode.rows[0], source_leads=("II", "V5")), replace(decode.rows[1], source_leads=LEADS_12)]
    result = decode(rows=rows)
    assert "a: had 2 of 12 leads (II, V5): only those are written\n" in result.stderr and "--all-leads" in result.stderr
    assert read_record(tmp_path / "decoded/a").leads == ("II", "V5")
    assert read_record(tmp_path / "decoded/b").leads == LEADS_12
    assert "10 of 12 leads are invented: I, III, aVR" in decode("--all-leads", "--overwrite", rows=rows).stderr
    assert set(read_record(tmp_path / "decoded/a").invented_leads) == set(LEADS_12) - {"II", "V5"}
    assert "ecgvae: invented leads: I, III, aVR" in wfdb.rdheader(str(tmp_path / "decoded/a")).comments[-1]
    assert read_record(tmp_path / "decoded/b").invented_leads == ()


def test_notes_of_an_older_file_tell_its_leads(decode, tmp_path):
    decode(rows=[replace(decode.rows[0], source_leads=None, notes=("V1 is missing, set to 0 mV",))])
    assert read_record(tmp_path / "decoded/a").leads == tuple(lead for lead in LEADS_12 if lead != "V1")


def test_comments_of_the_source_can_be_left_out(decode, tmp_path):
    earlier = "ecgvae: decoded by another (0123) from 500 bit/s"
    decode("--no-comments", rows=[replace(decode.rows[0], name="a b", comments=("Age: 50", earlier))])
    comments = read_record(tmp_path / "decoded/a_b").comments
    assert comments[:2] == (earlier, "ecgvae: named 'a b' in the source") and len(comments) == 3


# --- names


def test_every_record_is_written_whatever_its_name(decode, tmp_path):
    names = ["x", "x", "x_0", "X", "a//b", "a/b", "./a/b", "../up", "/etc/x", "naïve name", "", "l" * 400, "x\x1b[2J"]
    rows = [replace(decode.rows[0], name=name, start=index) for index, name in enumerate(names)]
    result = decode(rows=rows)
    assert "13 records, " in result.stdout and "\x1b" not in result.stderr + result.stdout
    assert "9 records written under another name" in result.stderr
    found = {path.relative_to(tmp_path / "decoded").as_posix() for path in find_records(tmp_path / "decoded")}
    assert found >= {"x_0-2", "x_1", "x_0", "X", "a/b", "a/b-2", "a/b-3", "__/up", "etc/x", "naive_name", "record"}
    assert len(found) == 13 and not (tmp_path / "up.hea").exists()
    assert "ecgvae: named 'naïve name' in the source" in read_record(tmp_path / "decoded/naive_name").comments


# --- rows that can't be decoded


def test_rows_that_cannot_be_decoded_are_skipped_and_listed(decode, tmp_path):
    first, second, third = decode.rows
    rows = [replace(first, source_leads=()), replace(second, source_rate=1e8, source_samples=401_000_000), third]
    listed = tmp_path / "skipped.csv"
    result = decode("--skipped", listed, "--strict", rows=rows, code=1)
    assert result.stdout == f"1 of 3 records, 4 s of ECG, in {tmp_path / 'decoded'}; 2 records skipped\n"
    assert "a: a had none of the leads I, II, III, " in result.stderr
    assert "b: 100 Hz to 1e+08 Hz; wanted rates within a factor of 200" in result.stderr
    kinds = [(row["path"], row["kind"]) for row in csv.DictReader(listed.open())]
    assert kinds == [("a", "skipped"), ("b", "skipped")]
    assert files_below(tmp_path / "decoded") == {"ward/c.hea", "ward/c.dat"}
    result = decode("--overwrite", "--skipped", listed, rows=[*rows[:2], replace(third, source_leads=())], code=2)
    assert "none of 3 records can be used" in result.stderr
    assert files_below(tmp_path / "decoded") == {"ward/c.hea", "ward/c.dat"}
    assert len(listed.read_text().splitlines()) == 4


def test_a_name_that_this_file_system_cannot_hold_skips_its_record(decode, tmp_path, monkeypatch):
    def short_names(facts, blocks, folder, name, **options):
        if len(name) > 143:     # the limit of eCryptfs
            raise OSError(errno.ENAMETOOLONG, "File name too long", name)
        return write_blocks(facts, blocks, folder, name, **options)

    monkeypatch.setattr("ecgvae.batch.detokenize.write_blocks", short_names)
    result = decode(rows=[replace(decode.rows[0], name="l" * 150), decode.rows[1]])
    assert "1 of 2 records" in result.stdout and "lll: File name too long" in result.stderr
    assert files_below(tmp_path / "decoded") == {"b.hea", "b.dat"}


def test_notes_are_in_the_list(decode, tmp_path):
    listed = tmp_path / "notes.csv"
    decode("--skipped", listed, rows=[replace(decode.rows[0], name="a b", source_leads=("II",))])
    assert [tuple(row.values()) for row in csv.DictReader(listed.open())] == [
        ("a b", "had 1 of 12 leads (II): only those are written", "note"), ("a b", "written as a_b", "note")]


# --- outputs that exist


def test_overwriting_replaces_records_of_the_same_names_and_keeps_all_others(records, decode, tmp_path):
    out = tmp_path / "decoded"
    decode(rows=[replace(decode.rows[1], name="a"), decode.rows[1]])
    write_record(read_record(records / "b"), out, "mine")
    (out / "old").mkdir()
    for name in ("c.dat", "notes.txt", "old/notes.txt", "fake.hea"):
        (out / name).write_text("ecgvae: decoded by me")
    assert "2 other records in" in decode("--overwrite").stderr
    kept = {"c.dat", "notes.txt", "old/notes.txt", "fake.hea", "mine.hea", "mine.dat"}
    new = {f"{name}.{suffix}" for name in ("a", "b", "ward/c") for suffix in ("hea", "dat")}
    assert files_below(out) == kept | new
    assert read_record(out / "a").samples == 802


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


def test_decoded_records_of_another_collection_are_never_deleted(decode, tokens, tmp_path, monkeypatch):
    out = tmp_path / "decoded"
    decode(rows=[replace(decode.rows[0], name=name) for name in ("other/x", "other/deep/y", "z")])
    before = contents(out)
    monkeypatch.setattr("ecgvae.batch.detokenize.load_tokenizer", None)     # it refuses before any work
    message = decode("--overwrite", code=2).stderr
    assert message == (f"ecgvae: {out} has 3 decoded records that {tokens} does not have, such as "
                       "other/deep/y; delete them or give another --out\n")
    assert contents(out) == before and not (tmp_path / "decoded.partial").exists()


def test_recordings_are_never_replaced(records, decode, tmp_path):
    write_record(read_record(records / "b"), tmp_path / "decoded", "a")
    before = contents(tmp_path / "decoded")
    message = decode("--overwrite", code=2).stderr
    assert "has 1 record of the same names that were not decoded by this version, such as a; give another" in message
    assert contents(tmp_path / "decoded") == before


def test_a_record_that_cannot_be_decoded_again_is_kept(decode, tmp_path):
    decode()
    before = contents(tmp_path / "decoded")
    result = decode("--overwrite", rows=[replace(decode.rows[0], source_leads=()), *decode.rows[1:]])
    assert "2 of 3 records" in result.stdout and "1 other record in" in result.stderr
    assert contents(tmp_path / "decoded") == before


def test_what_is_no_folder_is_refused_before_any_work(model, tokens, tmp_path):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "here").mkdir()
    for out, reason in ((tmp_path / "file", "a file; wanted a folder for WFDB records"),
                        (tokens, "a file; wanted a folder for WFDB records"),
                        (tmp_path / "fifo", "a named pipe; wanted a new name"),
                        ("/dev/null", "a device; wanted a new name")):
        message = mistake("detokenize", tokens, "--out", out, "--model", model, "--overwrite")
        assert message == f"ecgvae: {out} is {reason}"
    words = ("detokenize", tokens, "--model", model, "--out")
    assert "here exists; use --overwrite" in mistake(*words, tmp_path / "here")
    assert "Not a directory" in mistake(*words, tmp_path / "file" / "below")
    out = tmp_path / "out"
    copy = shutil.copy(tokens, tmp_path / "tokens.csv")
    assert "is also an input" in mistake("detokenize", copy, *words[2:], out, "--overwrite", "--skipped", copy)
    assert "which is the output" in mistake(*words, out, "--skipped", out / "skipped.csv")
    assert "skipped.txt ends in .txt; wanted" in mistake(*words, out, "--skipped", tmp_path / "skipped.txt")
    assert (tmp_path / "file").read_text() == "mine" and not out.exists()


# --- interruptions


def test_interrupted_detokenizing_continues(decode, tmp_path, monkeypatch):
    write, written = "ecgvae.batch.detokenize.write_blocks", []

    def interrupted(*arguments, **options):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments[3])
        return write_blocks(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(write, interrupted)
        assert decode(code=130).stderr == "stopped; run the same command again to go on\n"
    assert not (tmp_path / "decoded").exists()
    assert "started with other settings (all_leads)" in decode("--all-leads", code=2).stderr
    monkeypatch.setattr(write, lambda *args, **options: (written.append(args[3]), write_blocks(*args, **options)))
    assert "3 records" in decode().stdout
    assert written == ["a", "b", "ward/c"] and len(list((tmp_path / "decoded").rglob("*.hea"))) == 3


KILLS = """
import os, sys
from pathlib import Path
from ecgvae.batch import detokenize
from ecgvae.batch.detokenize import detokenize_files, load_tokenizer
from ecgvae.data.tokens import open_tokens

tokens, model, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
tokenizer = load_tokenizer(open_tokens(tokens), model)
detokenize.load_tokenizer = lambda *arguments: tokenizer
events = 0

def kill_at(limit):
    def hook(event, arguments):
        global events
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and str(folder) in str(arguments[0]):
            events += 1
            if events == limit:
                os._exit(9)
    sys.addaudithook(hook)

def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

def write_earlier(target):
    target.mkdir()
    for name, content in expected.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_bytes(content.replace(b"ecgvae: decoded by", b"ecgvae: decoded by an earlier"))
    (target / "mine.txt").write_text("mine")

def is_killed(target, limit, overwrite):
    process = os.fork()
    if not process:
        kill_at(limit)
        detokenize_files(tokens, target, model, overwrite=overwrite)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9

detokenize_files(tokens, folder / "expected", model)
expected = files(folder / "expected")
for overwrite in (False, True):
    limit, killed = 0, True
    while killed:
        limit += 1 if overwrite else 3
        target = folder / f"{overwrite}-{limit}"
        if overwrite:
            write_earlier(target)
        killed = is_killed(target, limit, overwrite)
        if killed:
            detokenize_files(tokens, target, model, overwrite=overwrite or target.exists())
        found = files(target)
        assert not overwrite or found.pop("mine.txt") == b"mine"
        assert found == expected, (limit, sorted(found))
        assert not target.with_name(target.name + ".partial").exists()
    print(limit)
"""


def test_killed_at_any_moment_the_same_command_finishes_the_job(model, tokens, tmp_path):
    file = open_tokens(tokens)
    path = write_tokens(tmp_path / "two.parquet", file.header, [file[0], file[2]])
    result = subprocess.run([sys.executable, "-c", KILLS, path, model, tmp_path], capture_output=True, text=True,
                            env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert result.returncode == 0, result.stderr
    assert min(map(int, result.stdout.split())) > 20      # moments
