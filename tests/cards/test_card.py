"""Cards: those of the shipped models are what the command writes; any model has one; damaged reports are refused."""

import json
import os
import re
import shutil

import pytest
from commands import call, mistake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgvae import checkpoint
from ecgvae.cards import model_card
from ecgvae.evaluation.report_file import FILE
from ecgvae.evaluation.reports import read_reports


@pytest.fixture
def own_model(model, tmp_path):
    return shutil.copytree(model, tmp_path / "mine")


@pytest.mark.parametrize("name", checkpoint.pretrained())
def test_the_card_of_a_shipped_model_is_what_the_command_writes(name):
    card = (checkpoint.locate(name) / "README.md").read_text(encoding="utf-8")
    assert call("card", name).stdout == card == model_card(name)
    assert checkpoint.identity(name) in card and "Wagner" in card and "2,010 records" in card
    for split, records in (("validation", 267), ("test", 138)):
        report = read_reports(name)[split]
        assert (report.records, report.seen_in_training) == (records, 0)
        for row in report.rows:
            assert f"**{row.prdn.mean:.1f}** | {row.prdn.median:.1f} | {row.prdn.p95:.1f}" in card


def test_reports_that_evaluate_saves_are_in_the_card(own_model, store):
    assert "Not evaluated yet" in model_card(own_model)
    printed = call("evaluate", own_model, store, "--split", "all", "--save", "--json")
    report = json.loads(printed.stdout)
    saved = read_reports(own_model)["all"]
    assert saved.rows[2].prdn.mean == report["rows"][2]["prdn"]["mean"] and saved.store == "store"
    card = model_card(own_model)
    assert f"**{report['rows'][0]['prdn']['mean']:.1f}**" in card and "The all split (3 records of `store`" in card
    assert "training data" not in card          # the checkpoint does not know its training records
    call("evaluate", own_model, store, "--split", "train", "--save")
    assert sorted(read_reports(own_model)) == ["all", "train"]


def test_cards_are_written_to_files(own_model, tmp_path):
    out = tmp_path / "card" / "README.md"
    assert call("card", own_model, "--out", out).stdout == f"{out}\n"
    assert out.read_text() == model_card(own_model) and out.read_text().startswith("# mine\n\nA residual VQ-VAE for 12")
    assert "use --overwrite" in mistake("card", own_model, "--out", out)
    assert "no data set ptbx; wanted one of ptbxl; did you mean ptbxl?" in mistake("card", own_model, "--dataset",
                                                                                   "ptbx")
    assert "1989–1996" in call("card", own_model, "--dataset", "ptbxl").stdout


def test_reports_of_other_weights_or_damaged_ones_are_refused(own_model, store):
    call("evaluate", own_model, store, "--split", "all", "--save")
    path = own_model / FILE
    values = json.loads(path.read_text())
    for damage in ({"all": 1}, [], {"all": {**values["all"], "rows": []}}, {"all": {**values["all"], "records": "x"}}):
        path.write_text(json.dumps(damage))
        assert re.search("evaluation.json is damaged: .+", mistake("card", own_model))
    path.write_text("{" * 10_000)
    assert "damaged" in mistake("card", own_model)
    path.write_text(json.dumps({"all": {**values["all"], "identity": "0" * 16}}))
    assert "has reports of the model 0000000000000000" in mistake("card", own_model)


def test_the_folder_of_an_installed_model_is_not_written(own_model, store, monkeypatch):
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: path != own_model and access(path, mode))
    assert "may not be written" in mistake("evaluate", own_model, store, "--split", "all", "--save")
    assert not (own_model / FILE).exists()


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda inner:
                    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3), max_leaves=8)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_forged_reports_and_training_facts_end_in_one_line(own_model, store, data):
    """A value anywhere in evaluation.json, or in the block `training` of config.json, is another."""
    report, config = own_model / FILE, own_model / "config.json"
    if not report.exists():
        call("evaluate", own_model, store, "--split", "all", "--save")
        for path in (report, config):
            path.with_suffix(".original").write_bytes(path.read_bytes())
        values = json.loads(config.read_text())
        values["training"] = {"data": "x", "records": 3, "training": {"steps": 3, "batch_size": 2, "window": 5.0},
                              "loss": {"prdn": 1.0}, "splits": {"all": "y"}, "dataset": "ptbxl"}
        config.with_suffix(".original").write_text(json.dumps(values))
    for path, block in ((report, "all"), (config, "training")):
        values = json.loads(path.with_suffix(".original").read_text())
        forge(values[block], data)
        path.write_text(json.dumps(values))
    try:
        assert isinstance(model_card(own_model), str)
    except (ValueError, FileNotFoundError) as error:
        assert len(str(error).splitlines()) == 1


def forge(values, data):
    """Replaces a random value in nested lists and dictionaries."""
    keys = list(values) if isinstance(values, dict) else list(range(len(values)))
    key = data.draw(st.sampled_from(keys))
    if isinstance(values[key], dict | list) and values[key] and data.draw(st.booleans()):
        forge(values[key], data)
    else:
        values[key] = data.draw(JSON)
