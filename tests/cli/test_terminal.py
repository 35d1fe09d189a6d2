"""Tables, JSON and progress as the command line prints them."""

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ecgvae.cli import app, remarks, terminal
from ecgvae.cli.terminal import Progress, format_duration, show_facts, show_table
from ecgvae.cli.text import printable, printable_line, replace_nonfinite, to_json


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch, quiet):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(terminal, "quiet", quiet)
    with Progress("records") as progress:
        for done in range(0, 50, 10):
            progress(done, 100, "fine")
    lines = capsys.readouterr().err.splitlines()
    assert bool(lines) is not quiet
    assert all(" of 100 records, " in line and line.endswith(", fine") for line in lines)


def test_names_in_remarks_and_errors_stay_in_one_line_and_do_not_act_on_the_terminal(capsys):
    remarks.list_remarks("skipped", [("a\nb\x1b[2J", "no"), ("x" * 10**6, "the reason")])
    terminal.say("ecgvae: \u2028\x9b")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["skipped (2 records):", "  a\\nb\\x1b[2J: no"] and lines[3:] == ["ecgvae: \\u2028\\x9b"]
    assert lines[2].startswith("  xxx") and lines[2].endswith("x: the reason") and len(lines[2]) < 2100


def test_durations():
    assert format_duration(3725.4) == "1:02:05"


def test_json_has_no_nan():
    values = {"a": [1.5, float("nan")], "b": (float("inf"), "x")}
    assert replace_nonfinite(values) == {"a": [1.5, None], "b": [None, "x"]}


def test_columns_of_numbers_are_to_the_right(capsys):
    show_table(["name", "text", "number"], [["a", "x", "1,000"], ["b", "longer", "-"], ["c", "5", "2.5"]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines[2:]] == ["a      x         1,000", "b      longer        -",
                                                     "c      5           2.5"]


ATTACK = "a\x1b]0;title\x07\x9b31m\u202eb\rc\x00\u2066\u2028\x7f\ud800d"
ORDINARY = "Übung № 5\u00a0µV – “Çağrı” Ελλάδα 心電圖\u3000סלב تخطيط می\u200cخواهم e\u0301 🫀 👩\u200d⚕️"


def forbidden(text):
    return [char for char in text if char in ATTACK and not char.isalnum() and char not in "];"]


def test_printable_text_does_not_act_on_the_terminal_and_ordinary_text_stays():
    assert not forbidden(printable(ATTACK)) and "\\x1b]0;title\\x07\\x9b31m\\u202eb\\rc" in printable(ATTACK)
    assert printable(ORDINARY) == ORDINARY and printable("two\nlines\t") == "two\nlines\t"
    assert printable_line("two\nlines") == "two\\nlines"


@given(st.text(st.characters()))
def test_json_of_any_text_is_printable_and_reads_back(text):
    written = to_json({text: [text]})
    assert json.loads(written) == {text: [text]}
    assert printable(written) == written
    written.encode()


def test_nothing_that_is_printed_acts_on_the_terminal(capsys, monkeypatch):
    show_table([ATTACK.replace("\n", ""), "number"], [[ATTACK, "1"]])
    show_facts({"name": ATTACK, "comments": [ATTACK, ATTACK], "labels": {ATTACK: ATTACK}})
    terminal.show(ATTACK)
    terminal.remark(ATTACK)
    remarks.list_remarks("notes", [(f"{ATTACK}\n{number}", ATTACK) for number in range(5)])
    monkeypatch.setattr(terminal.time, "monotonic", iter(range(0, 1000, 40)).__next__)
    Progress("records")(1, 10, ATTACK)
    printed = capsys.readouterr()
    assert not forbidden(printed.out) and not forbidden(printed.err) and "title" in printed.err


def test_names_and_comments_of_records_do_not_act_on_the_terminal(tmp_path, write_raw_record):
    name = "x\x1b]0;t\x07\u202e"
    header = "x 1 100 200\nx.dat 16 1000/mV 16 0 0 0 0 II\x9b\n# <age>: 5\x1b[31m\u202e\n".encode()
    record = write_raw_record(tmp_path, "x", header, np.arange(200))
    for words in (("info", record), ("info", record, "--json"), ("plot", record, "--out", tmp_path / f"{name}.png")):
        result = CliRunner().invoke(app, list(map(str, words)))
        assert not forbidden(result.stdout + result.stderr), words
        assert result.exit_code == 0 and ("x1b" in result.stdout or "u001b" in result.stdout)
    for words in (("info", tmp_path / f"no{name}"), ("info", record, f"more{name}"), (f"verb{name}",),
                  ("evaluate", f"no{name}", tmp_path), ("recipes", f"no{name}")):
        result = CliRunner().invoke(app, list(map(str, words)))
        assert result.exit_code == 2 and not forbidden(result.stdout + result.stderr), words
