"""The command evaluate: what it says, writes and refuses."""

import json
import shutil

import numpy as np
import pytest
from commands import call, mistake
from stores import write_wfdb

from ecgvae import checkpoint
from ecgvae.checkpoint.files import TRAINING_RECORDS
from ecgvae.cli import evaluation
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.data.training_data import measure_training_data
from ecgvae.evaluation.denoising import denoising
from ecgvae.evaluation.likelihood import likelihood
from ecgvae.models import parse_settings


def test_evaluate_writes_what_it_prints(store, model, tmp_path):
    out = tmp_path / "report.json"
    printed = call("evaluate", model, store, "--split", "all", "--json", "--out", out).stdout
    report = json.loads(printed)
    assert json.loads(out.read_text()) == report and [row["codebooks"] for row in report["rows"]] == [1, 2, 3]
    table = call("evaluate", model, store, "--split", "all").stdout
    assert "PRDN %" in table and f"{report['rows'][1]['prdn']['mean']:.2f}" in table


def test_the_report_is_written_even_if_nobody_reads_what_is_printed(store, model, tmp_path, monkeypatch):
    def closed_pipe(*_):
        raise BrokenPipeError

    monkeypatch.setattr(evaluation, "show_report", closed_pipe)
    out = tmp_path / "report.json"
    with pytest.raises(BrokenPipeError):
        evaluation.evaluate(str(model), store, split="all", out=out, device="cpu", batch_size=4)
    assert json.loads(out.read_text())["records"] == 3


@pytest.fixture
def trained(model, store, tmp_path):
    """A model that knows the first two records of the store as those that it was trained on."""
    source = Store(store)
    data = measure_training_data(source, [0, 1], checkpoint.load(model).signal)
    return checkpoint.save(checkpoint.load(model), tmp_path / "trained", data=data)


def test_records_that_the_model_was_trained_on_are_counted(trained, model, store):
    result = call("evaluate", trained, store, "--split", "all")
    warning = "2 of 3 records are in the model's training data: the errors are too low"
    assert warning in result.stdout and warning in result.stderr
    assert json.loads(call("evaluate", trained, store, "--split", "all", "--json").stdout)["seen_in_training"] == 2
    unknown = call("evaluate", model, store, "--split", "all")
    assert "unknown: whether the model was trained on these records" in unknown.stdout
    rows = denoising(checkpoint.load(trained), Store(store), "all", {"none": lambda x, snr_db, generator: x}, (0,),
                     trained_on=checkpoint.training_records(trained))
    assert rows[0]["seen_in_training"] == 2


def test_damaged_training_records_are_refused_before_all_work(trained, random_model, store, tmp_path, monkeypatch):
    vae = parse_settings({"family": "vae", "backbone": "conv-tiny", "latent": 6})
    folder = checkpoint.save(random_model(vae), tmp_path / "vae")
    shutil.copy(trained / TRAINING_RECORDS, folder)
    for model in (trained, folder):
        content = (model / TRAINING_RECORDS).read_bytes()
        (model / TRAINING_RECORDS).write_bytes(content[:len(content) // 2])
    for work in ("reconstruction.in_background", "likelihood.first_windows"):
        monkeypatch.setattr(f"ecgvae.evaluation.{work}", None)
    message = f"{trained / TRAINING_RECORDS} is damaged; wanted the fingerprints of training records"
    assert mistake("evaluate", trained, store, "--split", "all") == f"ecgvae: {message}"
    with pytest.raises(ValueError, match="is damaged; wanted the fingerprints of training records"):
        likelihood(folder, Store(store), "all", seconds=1)


def test_rates_and_missing_leads_are_said(model, store, tmp_path):
    text = call("evaluate", model, store, "--split", "all").stdout
    assert "3 records resampled from 200 Hz to the store's 100 Hz" in text and "without some leads" not in text
    write_wfdb(tmp_path / "in" / "a", np.random.default_rng(0).integers(-900, 900, (900, 2)), ("II", "V5"), rate=100)
    build_store(tmp_path / "in", tmp_path / "store", rate=200, missing="zero", workers=1)
    text = call("evaluate", model, tmp_path / "store", "--split", "all").stdout
    assert "1 record resampled from 100 Hz to the store's 200 Hz" in text
    assert "resampled to the model's 100 Hz and back; errors are measured at 200 Hz" in text
    assert "1 record without some leads, which do not count: I (1), III (1), aVR (1)" in text


def test_outputs_among_the_inputs_are_refused(model, store):
    for out in (store / "manifest.json", model / "config.json", store / "new" / "report.json"):
        assert "which is an input; wanted another folder" in mistake("evaluate", model, store, "--out", out,
                                                                     "--overwrite")
    assert "is a device" in mistake("evaluate", model, store, "--out", "/dev/null", "--overwrite")
    assert "is a folder" in mistake("evaluate", model, store, "--out", store, "--overwrite")


def test_the_likelihood_of_a_tokenizer_is_refused_before_all_work(model, store):
    assert "has no likelihood; wanted a vae or a cvae" in mistake("evaluate", model, store, "--likelihood")


def test_the_likelihood_is_in_the_report_and_the_card(store, tmp_path, tiny_settings, random_model):
    vae = checkpoint.save(random_model(tiny_settings("vae")), tmp_path / "vae")
    result = call("evaluate", vae, store, "--split", "all", "--likelihood", "--save")
    assert "ELBO" in result.stdout and "units active" in result.stdout
    assert "ELBO" in call("card", vae).stdout
