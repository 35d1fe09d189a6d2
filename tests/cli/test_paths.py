"""Wrong paths and outputs that exist are one line, before torch is loaded."""

import json
import os
import shutil
import stat
import subprocess
import sys

import pytest
from commands import call, mistake

from ecgvae.data.tokens import open_tokens


def test_outputs_that_exist_are_kept(records, store, model, tokens, tmp_path):
    out, figure, free = tmp_path / "out", tmp_path / "out.png", tmp_path / "free"
    out.write_text("precious")
    figure.write_text("precious")
    for words in (("prepare", records, out), ("tokenize", records, "--out", out, "--model", model),
                  ("tokenize", records, "--out", free, "--model", model, "--skipped", out),
                  ("detokenize", tokens, "--out", records, "--model", model), ("demo", out, "--model", model),
                  ("evaluate", model, store, "--out", out), ("plot", records / "a", "--out", figure)):
        assert "exists; use --overwrite" in mistake(*words)
    assert out.read_text() == figure.read_text() == "precious" and not free.exists()
    call("tokenize", records, "--out", out, "--model", model, "--overwrite")
    assert len(open_tokens(out)) == 3


def test_wrong_paths_are_one_line(records, model, store, tokens, tmp_path):
    (tmp_path / "empty").mkdir()
    options = ("--model", model, "--out", tmp_path / "out")
    assert "nope is not there; wanted a record, a folder of records or a store" in mistake(
        "tokenize", tmp_path / "nope", *options)
    assert "no WFDB records (.hea) under" in mistake("tokenize", tmp_path / "empty", *options)
    assert "manifest.json is not WFDB; wanted a record" in mistake("tokenize", store / "manifest.json", *options)
    assert "is not an ecgvae token file" in mistake("detokenize", records / "a.dat", *options)
    assert "no model nope" in mistake("tokenize", records, "--out", tmp_path / "out", "--model", "nope")
    assert "it has no config.json" in mistake("evaluate", records, store)
    assert "is not an ecgvae store" in mistake("evaluate", model, records)
    assert "'half' is not one of 'train', 'validation', 'test', 'all'" in " ".join(
        call("evaluate", model, store, "--split", "half", code=2).stderr.replace("│", " ").split())
    assert "no nope; wanted a model, prior, run, token file, store or record" in mistake("info", "nope")
    assert f"is a folder with 3 WFDB headers; wanted one record, such as {records / 'a'}" in mistake("info", records)
    assert f"is a folder with 3 WFDB headers; wanted one record, such as {records / 'a'}" in mistake(
        "plot", records, "--out", tmp_path / "z.png")
    assert "no WFDB records (.hea) under" in mistake("plot", tmp_path / "empty", "--out", tmp_path / "z.png")
    assert "neither a model" in mistake("info", tmp_path / "empty")
    assert "has no record z" in mistake("plot", tokens, "--record", "z", "--model", model, "--out", tmp_path / "z.png")
    assert "is not a token file" in mistake("plot", records / "a", "--record", "z", "--out", tmp_path / "z.png")
    assert "wanted a record or a token file" in mistake("plot", tmp_path / "nope", "--out", tmp_path / "z.png")
    assert "no recipe" in mistake("train", tmp_path / "recipe.yaml", "--data", store, "--out", "run")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_devices_and_pipes_are_neither_read_nor_replaced(records, store, model, tokens, tmp_path):
    pipe, run = tmp_path / "pipe.yaml", tmp_path / "run"
    os.mkfifo(pipe)
    assert "pipe.yaml is a named pipe; wanted the YAML file of a recipe" in mistake(
        "train", pipe, "--data", store, "--out", run)
    for options in ((), ("--json",)):
        assert "pipe.yaml is a named pipe; wanted the YAML file of a recipe" in mistake("recipes", pipe, *options)
    assert "/dev/null is a device; wanted the folder of a run" in mistake(
        "train", "vqvae", "--data", store, "--out", "/dev/null")
    (tmp_path / "figure.png").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder").mkdir()
    for out, kind in (("/dev/null", "a device"), (tmp_path / "pipe.png", "a named pipe")):
        for words in (("prepare", records, out), ("evaluate", model, store, "--out", out),
                      ("detokenize", tokens, "--out", out, "--model", model), ("demo", out, "--model", model)):
            assert f"{out} is {kind}; wanted a new name" in mistake(*words, "--overwrite")
    for name, kind in (("figure.png", "a device"), ("pipe.png", "a named pipe")):
        assert f"{name} is {kind}; wanted a new name" in mistake(
            "plot", records / "a", "--out", tmp_path / name, "--overwrite")
    assert "folder is a folder; wanted a name that ends in .parquet" in mistake(
        "tokenize", records, "--out", tmp_path / "folder", "--model", model, "--overwrite")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode) and stat.S_ISFIFO(os.stat(pipe).st_mode) and not run.exists()


@pytest.mark.parametrize("suffix", [".csv", ".json", ".txt", ".npz", ".h5"])
def test_a_token_file_with_the_suffix_of_another_format_is_refused(suffix, records, model, tmp_path):
    out = tmp_path / f"x{suffix}"
    assert mistake("tokenize", records, "--out", out, "--model", model).endswith(
        f"x{suffix} ends in {suffix}; wanted a name that ends in .parquet")
    assert not list(tmp_path.iterdir())


def test_reports_are_json_and_lists_of_skipped_records_csv(records, store, model, tmp_path):
    assert "wanted a name that ends in .json" in mistake("evaluate", model, store, "--out", tmp_path / "report.csv")
    assert "wanted a name that ends in .csv" in mistake(
        "tokenize", records, "--out", tmp_path / "x", "--model", model, "--skipped", tmp_path / "skipped.json")
    call("tokenize", records, "--out", tmp_path / "run-1.5", "--model", model)


@pytest.fixture
def places(records, store, model, tokens, tmp_path):
    """Paths that exist and paths that do not, by the words that stand for them below."""
    shutil.copytree(model, tmp_path / "run" / "model")
    (tmp_path / "there").write_text("there")
    (tmp_path / "there.png").write_text("there")
    names = ("nope", "nope.png", "nope.csv", "nope.json", "out", "out.png", "there", "there.png", "run")
    return {name: tmp_path / name for name in names} | {"records": records, "record": records / "a", "store": store,
                                                        "model": model, "tokens": tokens}


@pytest.mark.parametrize("line", [
    "tokenize nope --out out", "tokenize records --out there --model model", "tokenize records --out nope.csv",
    "tokenize records --out out --model nope", "tokenize records --out out --model records",
    "detokenize nope --out out", "detokenize tokens --out there", "detokenize tokens --out out --model nope",
    "evaluate nope store", "evaluate model nope", "evaluate model records", "evaluate model store --out there",
    "evaluate model store --out nope.csv", "train nope --data store --out out", "train vqvae --data nope --out out",
    "train vqvae --data store --out out --resume", "plot nope --out out.png", "plot record --out there.png",
    "plot record --out nope.csv", "plot record --out out.png --model nope", "info nope", "info nope.json",
    "prepare nope out", "prepare records there", "prepare records out --dataset nope",
    "prepare records out --table nope", "demo there", "demo out --model nope", "recipes nope",
])
def test_a_wrong_path_is_reported_before_torch_is_loaded(line, places):
    words = [str(places.get(word, word)) for word in line.split()]
    code = ("import sys; from typer.testing import CliRunner; from ecgvae.cli import app\n"
            f"result = CliRunner().invoke(app, {words!r})\n"
            "slow = {'torch', 'pandas', 'pyarrow', 'matplotlib'}\n"
            "import json; print(json.dumps([result.exit_code, result.stderr, sorted(slow & {*sys.modules})]))")
    code, error, slow = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert (code, slow) == (2, []) and error.startswith("ecgvae: ") and error.count("\n") == 1
