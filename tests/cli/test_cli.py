import errno
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from commands import call, mistake

from ecgvae import batch, checkpoint, demo
from ecgvae.cli.terminal import Progress, duration, finite
from ecgvae.data.tokens import open_tokens
from ecgvae.signal import read_record
from ecgvae.tokenizer import Tokenizer

VERBS = ("prepare", "train", "tokenize", "detokenize", "evaluate", "info", "plot", "demo")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb):
    text = call(verb, "--help").stdout
    assert "Examples:" in text and f"ecgvae {verb}" in text


def test_help_loads_nothing_slow():
    code = ("import sys; from typer.testing import CliRunner; from ecgvae.cli import app\n"
            "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
            "slow = {'torch', 'wfdb', 'pandas', 'numpy', 'scipy', 'pydantic', 'matplotlib', 'pyarrow'}\n"
            "print(*slow & {*sys.modules})")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_version():
    import ecgvae

    assert call("--version").stdout == f"{ecgvae.__version__}\n"


def test_outputs_that_exist_are_kept(records, store, model, tokens, tmp_path):
    out, figure, free = tmp_path / "out", tmp_path / "out.png", tmp_path / "free"
    out.write_text("precious")
    figure.write_text("precious")
    for words in (("prepare", records, out), ("tokenize", records, "--out", out, "--model", model),
                  ("tokenize", records, "--out", free, "--model", model, "--skipped", out),
                  ("detokenize", tokens, "--out", out, "--model", model), ("demo", out, "--model", model),
                  ("evaluate", model, store, "--out", out), ("plot", records / "a", "--out", figure)):
        assert "exists; use --overwrite" in mistake(*words)
    assert out.read_text() == figure.read_text() == "precious" and not free.exists()
    call("tokenize", records, "--out", out, "--model", model, "--overwrite")
    assert len(open_tokens(out)) == 3


def test_wrong_paths_are_one_line(records, model, store, tokens, tmp_path):
    (tmp_path / "empty").mkdir()
    there = {"--model": model, "--out": tmp_path / "out"}
    options = [str(word) for pair in there.items() for word in pair]
    assert "nope is no record, folder of records or store" in mistake("tokenize", tmp_path / "nope", *options)
    assert "no WFDB records (.hea) under" in mistake("tokenize", tmp_path / "empty", *options)
    assert "is not an ecgvae token file" in mistake("detokenize", records / "a.dat", *options)
    assert "no model nope" in mistake("tokenize", records, "--out", tmp_path / "out", "--model", "nope")
    assert "it has no config.json" in mistake("evaluate", records, store)
    assert "is not an ecgvae store" in mistake("evaluate", model, records)
    assert "wanted train, validation, test or all" in mistake("evaluate", model, store, "--split", "half")
    assert "no nope; wanted a model, token file, store or record" in mistake("info", "nope")
    assert "neither a model" in mistake("info", records)
    assert "has no record z" in mistake("plot", tokens, "--record", "z", "--model", model, "--out", tmp_path / "z.png")
    assert "is no token file" in mistake("plot", records / "a", "--record", "z", "--out", tmp_path / "z.png")
    assert "recipe.yaml: No such file" in mistake("train", tmp_path / "recipe.yaml", "--data", store, "--out", "run")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_usage_errors_exit_with_2(records):
    assert "No such option" in call("tokenize", records, "--nope", code=2).stderr
    assert "Missing option '--out'" in call("tokenize", records, code=2).stderr
    assert "tokenise" in call("tokenise", code=2).stderr


@pytest.mark.parametrize("error, line", [
    (OSError(errno.ENOSPC, "No space left on device", "out/part"), "ecgvae: out/part: No space left on device"),
    (MemoryError(), "ecgvae: out of memory; a smaller --batch-size may do"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried"), "ecgvae: out of memory; a smaller --batch-size may do"),
    (ValueError("this\ncame;\n  that was wanted"), "ecgvae: this came; that was wanted"),
])
def test_what_fails_on_the_way_is_one_line(records, model, tmp_path, monkeypatch, error, line):
    def failing(*_):
        raise error

    monkeypatch.setattr(batch, "write_tokens", failing)
    assert mistake("tokenize", records, "--out", tmp_path / "out", "--model", model) == line
    assert not (tmp_path / "out").exists()


def test_mistakes_of_our_own_keep_their_traceback(records, model, tmp_path, monkeypatch):
    def failing(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(batch, "write_tokens", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        call("tokenize", records, "--out", tmp_path / "out", "--model", model)


def test_info_tells_things_apart(records, store, model, tokens):
    facts = {kind: json.loads(call("info", thing, "--json").stdout)
             for kind, thing in {"model": model, "tokens": tokens, "store": store, "record": records / "a"}.items()}
    assert all(fact["kind"] == kind for kind, fact in facts.items())
    assert facts["model"]["identity"] == facts["tokens"]["identity"] == Tokenizer.load(model).identity
    assert facts["model"]["parameters"] == sum(p.numel() for p in checkpoint.load(model).parameters())
    assert facts["tokens"]["records"] == facts["store"]["records"] == 3
    assert facts["model"]["bits_per_second"] == pytest.approx(250)       # three codes of 5 bits every 60 ms
    assert (facts["record"]["samples"], facts["record"]["rate"]) == (802, 200)
    assert "condition: normal" in call("info", records / "a").stdout


def test_plots(records, model, tokens, tmp_path):
    out = tmp_path / "record.png"
    assert call("plot", records / "a", "--out", out, "--model", model).stdout == f"{out}\n"
    call("plot", tokens, "--out", tmp_path / "tokens.svg", "--model", model, "--record", "ward/c")
    assert out.read_bytes().startswith(b"\x89PNG") and "ward/c" in (tmp_path / "tokens.svg").read_text()


def test_evaluate_writes_what_it_prints(store, model, tmp_path):
    out = tmp_path / "report.json"
    printed = call("evaluate", model, store, "--split", "all", "--json", "--out", out).stdout
    report = json.loads(printed)
    assert json.loads(out.read_text()) == report and [row["codebooks"] for row in report["rows"]] == [1, 2, 3]
    table = call("evaluate", model, store, "--split", "all").stdout
    assert "PRDN %" in table and f"{report['rows'][1]['prdn']['mean']:.2f}" in table


def test_train_and_resume(store, tiny, tmp_path):
    recipe, run = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text(json.dumps({"model": tiny().model_dump(mode="json"),
                                  "training": {"steps": 4, "batch_size": 2, "window": 2}}))
    words = ("train", recipe, "--data", store, "--out", run)
    assert "model.latnt: Extra inputs" in mistake(*words, "--set", "model.latnt=3")
    assert "holds no run to resume" in mistake(*words, "--resume")
    assert call(*words, "--set", "training.steps=2").stdout == f"model in {run / 'model'}\n"
    assert "use --resume" in mistake(*words)
    assert "differs from the recipe given" in mistake(*words, "--resume")
    before = (run / "model" / "model.safetensors").stat().st_mtime_ns
    call(*words, "--set", "training.steps=2", "--resume")
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert json.loads(call("info", run / "model", "--json").stdout)["trained_on"]["records"] > 0


def test_demo(model, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "write_demo_records", partial(demo.write_demo_records, count=2))
    out = tmp_path / "demo"
    rows = json.loads(call("demo", out, "--model", model, "--json").stdout)
    assert len(rows) == 3 and rows[-1]["record"] == "all"
    original, decoded = (read_record(out / folder / rows[0]["record"]).signal for folder in ("records", "decoded"))
    centred = original - original.mean(axis=1, keepdims=True)
    prdn = 100 * np.linalg.norm(original - decoded, axis=1) / np.linalg.norm(centred, axis=1)
    assert rows[0]["prdn"] == pytest.approx(prdn.mean(), rel=1e-4)
    assert len(open_tokens(out / "tokens.parquet")) == 2 and (out / "comparison.png").stat().st_size > 10_000
    assert "RMSE µV" in call("demo", out, "--model", model, "--overwrite").stdout


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
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("150 records with 12 leads at 100 Hz")


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX")
def test_a_reader_that_leaves_is_no_error(records):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ecgvae", "info", str(records / "a"), "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with Progress("records") as progress:
        for done in range(0, 50, 10):
            progress(done, 100, "fine")
    lines = capsys.readouterr().err.splitlines()
    assert lines and all(" of 100 records, " in line and line.endswith(", fine") for line in lines)
    assert duration(3725.4) == "1:02:05"


def test_json_has_no_nan():
    assert finite({"a": [1.5, float("nan")], "b": (float("inf"), "x")}) == {"a": [1.5, None], "b": [None, "x"]}
