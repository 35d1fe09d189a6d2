"""Tables, JSON and progress as the command line prints them."""

import time

import pytest

from ecgvae.cli import terminal
from ecgvae.cli.terminal import Progress, format_duration, replace_nonfinite, show_table


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
    terminal.list_remarks("skipped", [("a\nb\x1b[2J", "no"), ("x" * 10**6, "the reason")])
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
