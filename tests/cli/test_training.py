"""The command train."""

import json

import pandas as pd
import pytest
from commands import call, mistake

from ecgvae import checkpoint
from ecgvae.data.prepare import build_store
from ecgvae.data.tokens import open_tokens


@pytest.fixture
def recipe(tiny_settings, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps({"model": tiny_settings().model_dump(mode="json"),
                                "training": {"steps": 4, "batch_size": 2, "window": 2}}))
    return path


def test_train_and_resume(store, recipe, tmp_path):
    run = tmp_path / "run"
    words = ("train", recipe, "--data", store, "--out", run)
    assert "model.latnt: " in mistake(*words, "--set", "model.latnt=3")
    assert "holds no run to resume" in mistake(*words, "--resume")
    assert call(*words, "--set", "training.steps=2").stdout == f"model in {run / 'model'}\n"
    assert "use --resume" in mistake(*words)
    assert "has training.steps 2, the recipe given 4" in mistake(*words, "--resume")
    before = (run / "model" / "model.safetensors").stat().st_mtime_ns
    call(*words, "--set", "training.steps=2", "--resume")
    assert (run / "model" / "model.safetensors").stat().st_mtime_ns == before
    assert json.loads(call("info", run / "model", "--json").stdout)["trained_on"]["records"] > 0


def test_a_run_folder_stands_for_its_model(store, recipe, records, tmp_path):
    run = tmp_path / "run"
    call("train", recipe, "--data", store, "--out", run, "--set", "training.steps=2")
    facts, model = (json.loads(call("info", path, "--json").stdout) for path in (run, run / "model"))
    assert (facts["kind"], facts["name"], facts["step"], facts["steps"]) == ("run", "run", 2, 2)
    assert facts["validation"].pop("step") == 2 and facts["validation"] == model["validation"]
    assert all(facts[key] == model[key] for key in ("identity", "family", "codebooks", "parameters", "trained_on"))
    out = tmp_path / "tokens.parquet"
    call("tokenize", records, "--out", out, "--model", run)
    assert open_tokens(out).header.tokenizer == checkpoint.config(run).get("identity", model["identity"])
    call("detokenize", out, "--out", tmp_path / "decoded", "--model", run)
    call("plot", records / "a", "--out", tmp_path / "a.png", "--model", run)
    report = json.loads(call("evaluate", run, store, "--split", "all", "--json").stdout)
    assert report["identity"] == model["identity"]


def test_info_about_a_run_that_is_not_finished(store, recipe, tmp_path):
    run = tmp_path / "run"
    call("train", recipe, "--data", store, "--out", run, "--set", "training.steps=2")
    (run / "model").rename(tmp_path / "elsewhere")
    (run / "log.csv").write_text("step,loss\n1,2.5\n")
    (run / "validation.csv").unlink()
    facts = json.loads(call("info", run, "--json").stdout)
    assert (facts["kind"], facts["model"], facts["step"], facts["steps"]) == ("run", "none yet", 1, 2)
    (run / "recipe.json").write_text("{}")
    assert "recipe.json is damaged: training: Field required" in mistake("info", run)


def test_a_recipe_is_found_by_name(store, tmp_path):
    run = tmp_path / "run"
    changes = ("training.steps=1", "training.batch_size=2", "training.window=2", "model.backbone=conv-tiny",
               "training.precision=fp32")
    call("train", "vqvae", "--data", store, "--out", run, *(word for change in changes for word in ("--set", change)))
    assert checkpoint.config(run / "model")["model"]["codebooks"] == 8
    assert "no recipe vqvea; wanted a YAML file or one of" in mistake("train", "vqvea", "--data", store, "--out", run)


@pytest.fixture(scope="module")
def split_store(records, tmp_path_factory):
    """Makes the store of `records` with all of them in one split."""
    def build(split):
        labels = pd.DataFrame({"split": [split] * 3}, index=["a", "b", "ward/c"])
        return build_store(records, tmp_path_factory.mktemp("split") / "store", workers=1, labels=labels).path
    return build


def test_a_store_without_training_or_validation_records(split_store, recipe, tmp_path):
    run = tmp_path / "run"
    only_test, only_train = split_store("test"), split_store("train")
    assert mistake("train", recipe, "--data", only_test, "--out", run).endswith(
        f"{only_test} has no records in its training split; wanted some to train on")
    assert not run.exists()
    result = call("train", recipe, "--data", only_train, "--out", run)
    assert f"{only_train} has no records in its validation split; the training is not validated" in result.stderr
    facts = json.loads(call("info", run, "--json").stdout)
    assert facts["validation"] == {"step": 4} and facts["step"] == 4


def test_a_window_much_longer_than_the_records_is_refused(store, recipe, tmp_path):
    assert "training.window is 86400 s; wanted at most 4.01 s, the length of the longest training record" in mistake(
        "train", recipe, "--data", store, "--out", tmp_path / "run", "--set", "training.window=86400")
    assert not (tmp_path / "run").exists()
