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
