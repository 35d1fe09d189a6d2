"""Cards: those of the shipped models are what the command writes; any model has one; damaged reports are refused."""

import json
import os
import re
import shutil

import pytest
from commands import call, mistake

from ecgvae import checkpoint
from ecgvae.card import model_card
from ecgvae.evaluation.reports import FILE, read_reports


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
