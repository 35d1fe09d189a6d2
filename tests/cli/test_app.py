"""The application: help, version, completion, --quiet, and what an error or a signal ends in."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from commands import call, mistake

import ecgvae
from ecgvae import checkpoint
from ecgvae.batch import tokenize

COMMANDS = ("demo", "prepare", "tokenize", "detokenize", "train", "evaluate", "recipes", "models", "info", "plot")
SLOW = {"torch", "wfdb", "pandas", "numpy", "scipy", "pydantic", "matplotlib", "pyarrow"}


def complete(*words: str) -> list[str]:
    """What a shell is offered for the last word."""
    position = str(len(words) - 1)
    environment = {"_ECGVAE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": position}
    command = [sys.executable, "-m", "ecgvae"]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command):
    text = call(command, "--help").stdout
    assert "Examples:" in text and f"ecgvae {command}" in text


def test_help_lists_the_commands_in_the_order_of_use():
    lines = call("--help").stdout.splitlines()
    listed = [line.split()[1] for line in lines if line.startswith("│ ") and line.split()[1].isalpha()]
    assert tuple(word for word in listed if word in COMMANDS) == COMMANDS
    assert [title for title in ("Signals and tokens", "Models", "Inspection")
            if any(line.startswith(f"╭─ {title} ") for line in lines)] == ["Signals and tokens", "Models", "Inspection"]


@pytest.mark.parametrize("words, slow", [(("--help",), SLOW), (("recipes",), SLOW - {"pydantic"})])     # typer has it
def test_help_and_recipes_load_nothing_slow(words, slow):
    code = ("import sys; from typer.testing import CliRunner; from ecgvae.cli import app\n"
            f"assert CliRunner().invoke(app, {list(words)!r}).exit_code == 0\n"
            f"print(*{slow!r} & {{*sys.modules}})")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_version():
    assert call("--version").stdout == f"{ecgvae.__version__}\n"


def test_a_shell_completes_commands_models_recipes_and_data_sets():
    shipped = checkpoint.pretrained()
    assert complete("ecgvae", "deto") == ["detokenize"]
    assert complete("ecgvae", "info", "ptbxl-vq") == [name for name in shipped if name.startswith("ptbxl-vq")]
    assert complete("ecgvae", "tokenize", "--model", "ptbxl-vae") == ["ptbxl-vae-conv", "ptbxl-vae-transformer"]
    assert complete("ecgvae", "train", "vqvae2") == ["vqvae2"]
    assert complete("ecgvae", "recipes", "ptbxl/vqv") == ["ptbxl/vqvae", "ptbxl/vqvae2"]
    assert complete("ecgvae", "prepare", "--dataset", "ptb") == ["ptbxl"]
    assert complete("ecgvae", "evaluate", "store") == []     # the shell completes paths


@pytest.mark.parametrize("place", ["before", "after"])
def test_quiet_leaves_results_and_errors(place, records, store, model, tmp_path, write_raw_record):
    write_raw_record(tmp_path / "in", "broken", "no header")
    for name in ("a.hea", "a.dat"):
        shutil.copy(records / name, tmp_path / "in")
    words = ("tokenize", tmp_path / "in", "--model", model, "--out")
    loud = call(*words, tmp_path / "loud")
    assert "skipped (1 record):" in loud.stderr
    quiet = ("--quiet", *words, tmp_path / "quiet") if place == "before" else (*words, tmp_path / "quiet", "-q")
    result = call(*quiet)
    assert result.stderr == "" and result.stdout == loud.stdout.replace("loud", "quiet")
    assert result.stdout.endswith("; 1 record skipped\n")
    assert "exists; use --overwrite" in mistake(*quiet)
    assert "skipped (1 record):" in call(*words, tmp_path / "again").stderr


def test_usage_errors_exit_with_2(records):
    assert "No such option" in call("tokenize", records, "--nope", code=2).stderr
    assert "Missing option '--out'" in call("tokenize", records, code=2).stderr
    assert "tokenise" in call("tokenise", code=2).stderr


@pytest.mark.parametrize("typed, nearest", [("tokenise", "'tokenize'"), ("prepair", "'prepare'"),
                                            ("model", "'models'")])
def test_a_mistyped_command_suggests_the_nearest(typed, nearest):
    assert f"Did you mean {nearest}" in " ".join(call(typed, code=2).stderr.split())


@pytest.mark.parametrize("error, line", [
    (OSError(errno.ENOSPC, "No space left on device", "out/part"), "ecgvae: out/part: No space left on device"),
    (MemoryError(), "ecgvae: out of memory; a smaller --batch-size may help"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried"), "ecgvae: out of memory; a smaller --batch-size may help"),
    (ValueError("this\ncame;\n  that was wanted"), "ecgvae: this came; that was wanted"),
])
def test_an_error_during_the_work_is_one_line(records, model, tmp_path, monkeypatch, error, line):
    def failing(*_):
        raise error

    monkeypatch.setattr(tokenize, "write_tokens", failing)
    assert mistake("tokenize", records, "--out", tmp_path / "out", "--model", model) == line
    assert not (tmp_path / "out").exists()


def test_errors_of_the_program_keep_their_traceback(records, model, tmp_path, monkeypatch):
    def failing(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(tokenize, "write_tokens", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        call("tokenize", records, "--out", tmp_path / "out", "--model", model)


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_prepare_and_the_same_command_goes_on(number, records, tmp_path):
    for copy in range(150):
        for suffix in (".hea", ".dat"):
            (tmp_path / "in" / str(copy)).mkdir(parents=True, exist_ok=True)
            os.link(records / f"a{suffix}", tmp_path / "in" / str(copy) / f"a{suffix}")
    command = [sys.executable, "-m", "ecgvae", "prepare", str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, start_new_session=True, text=True, **pipes)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out.partial" / "job.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert (stdout, stderr) == ("", "stopped; run the same command again to go on\n")
    assert process.returncode in (130, -signal.SIGINT)
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("150 records with 12 leads at 100 Hz")


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX")
def test_a_reader_that_closes_stdout_is_no_error(records):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ecgvae", "info", str(records / "a"), "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""
