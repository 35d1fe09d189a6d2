"""Whole trainings: what a run leaves, and a resumed run that equals an uninterrupted one."""

import copy
import json
from io import BytesIO, StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from trainings import changed, mistake, results, same

from ecgvae import checkpoint, metrics
from ecgvae.checkpoint import saving
from ecgvae.data.training_data import is_training_record, measure_training_data
from ecgvae.training.log import Log
from ecgvae.training.loop import learning_rate, train
from ecgvae.training.noising import NoiseSettings
from ecgvae.training.recipe import LossWeights, Recipe, TrainingSettings
from ecgvae.training.validation import Validation


def test_a_run_leaves_a_model_logs_pictures_and_its_recipe(store, recipe, tmp_path):
    run, steps = tmp_path / "run", []
    folder = train(changed(recipe, steps=2), store, run, progress=lambda step, values: steps.append((step, values)))
    assert [step for step, _ in steps] == [0, 1, 2]
    assert {"loss", "prdn", "derivative", "spectral", "commitment", "perplexity", "gradient"} <= steps[-1][1].keys()
    log, validation = pd.read_csv(run / "log.csv"), pd.read_csv(run / "validation.csv")
    assert log["step"].tolist() == [1] and validation["step"].tolist() == [2]
    weights, relative_errors = recipe.loss.model_dump(), ["prdn", "derivative", "spectral"]
    terms = sum(weights[name] * np.log(log[name] / 100) for name in relative_errors)
    np.testing.assert_allclose(log["loss"], terms + weights["commitment"] * log["commitment"], rtol=1e-5)
    assert log[relative_errors].gt(10).all(axis=None) and log[relative_errors].lt(1000).all(axis=None)       # per cent
    assert log["learning_rate"][0] == learning_rate(1, changed(recipe, steps=2).training)
    assert [path.name for path in (run / "pictures").iterdir()] == ["step-000002.png"]
    assert any((run / "tensorboard").iterdir())
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == changed(recipe, steps=2)
    config = checkpoint.config(folder)
    assert config["metrics"] == {name: validation[name][0] for name in validation if name != "step"}
    assert (config["training"]["fingerprint"], config["training"]["records"]) == (store.fingerprint, 8)
    assert checkpoint.load(folder).settings == recipe.model
    known = checkpoint.training_records(folder)
    assert known is not None
    seen = [is_training_record(store.record(row), recipe.model.signal, known) for row in range(len(store))]
    assert np.flatnonzero(seen).tolist() == store.split("train").tolist()
    assert checkpoint.amplitudes(folder) == measure_training_data(store, store.split("train"),
                                                                  recipe.model.signal).amplitudes


def test_validation_is_the_prdn_of_the_saved_model(store, recipe, tmp_path, without_pictures):
    train(changed(recipe, steps=3), store, tmp_path / "run")
    model = checkpoint.load(tmp_path / "run" / "model")
    rows = store.split("validation")
    true = np.stack([store.signal(row) for row in rows])
    x = torch.from_numpy(true[:, [0, 1, 6, 7, 8, 9, 10, 11]])
    with torch.inference_mode():
        reconstructions = model.all_leads(model.detokenize(model.tokenize(x)[:2], x.shape[-1])).numpy()
    logged = checkpoint.config(tmp_path / "run" / "model")["metrics"]["prdn_2"]
    assert logged == pytest.approx(np.nanmean(metrics.prdn(true, reconstructions)), rel=1e-2)     # rounded leads


class Interrupted(Exception):
    """Stands for whatever kills a run."""


@pytest.fixture(scope="module")
def uninterrupted(store, recipe, tmp_path_factory) -> dict:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Validation, "draw_picture", lambda *_: None)
        train(recipe, store, run)
    found = results(run)
    assert set(found["files"]) == {"recipe.json", "log.csv", "validation.csv", "model/config.json",
                                   "model/model.safetensors", "model/training_records.safetensors"}
    return found


@pytest.mark.parametrize("step", [0, 2, 6, 12])
def test_stopped_at_a_step_and_resumed_it_is_the_uninterrupted_run(store, recipe, tmp_path, without_pictures,
                                                                      uninterrupted, step):
    def stop(now, _):
        if now == step:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(recipe, store, tmp_path / "run", progress=stop)
    train(recipe, store, tmp_path / "run", resume=True)
    assert same(results(tmp_path / "run"), uninterrupted)


@pytest.mark.parametrize("name", ["torch.save", "ecgvae.checkpoint.saving.replace_folder",
                                  "ecgvae.training.log.Log.validation"])
@pytest.mark.parametrize("call", [1, 2])
def test_stopped_while_it_saves_it_is_the_uninterrupted_run(store, recipe, tmp_path, without_pictures,
                                                               uninterrupted, monkeypatch, name, call):
    module, attribute = name.rsplit(".", 1)
    calls = []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise Interrupted
        return original(*arguments)

    with monkeypatch.context() as patch:
        target = {"torch": torch, "ecgvae.checkpoint.saving": saving, "ecgvae.training.log.Log": Log}[module]
        original = getattr(target, attribute)
        patch.setattr(target, attribute, stopping)
        try:
            train(recipe, store, tmp_path / "run")
        except Interrupted:
            pass
        else:
            assert call > len(calls)        # a model is put in place once only
    train(recipe, store, tmp_path / "run", resume=True)
    assert same(results(tmp_path / "run"), uninterrupted)


def test_a_finished_run_stays_as_it_is(store, recipe, tmp_path, without_pictures):
    short = changed(recipe, steps=2)
    folder = train(short, store, tmp_path / "run")
    before = results(tmp_path / "run")
    assert train(short, store, tmp_path / "run", resume=True) == folder
    assert same(results(tmp_path / "run"), before)


def test_a_folder_has_one_run(store, recipe, tmp_path, without_pictures):
    run, short = tmp_path / "run", changed(recipe, steps=1)
    assert "holds no run to resume" in mistake(FileNotFoundError, short, store, run, resume=True)
    train(short, store, run)
    before = results(run)
    assert "holds a run; use --resume to continue it or another --out" in mistake(FileExistsError, short, store, run)
    assert mistake(ValueError, changed(recipe, steps=2), store, run, resume=True) == (
        f"{run}/recipe.json has training.steps 1, the recipe given 2; a run is resumed with its own recipe")
    assert same(results(run), before)


def test_a_recipe_that_differs_names_the_key_and_both_values(store, recipe, tmp_path, without_pictures):
    run, short = tmp_path / "run", changed(recipe, steps=1)
    train(short, store, run)
    for block, update, message in [
        ("loss", {"usage_loss": 3.0}, "loss.usage_loss 1.0, the recipe given 3.0;"),
        ("model", {"latent": 9}, "model.latent 8, the recipe given 9;"),
        ("augment", {"gain": 0.0}, "augment.gain 0.2, the recipe given 0.0;"),
    ]:
        other = short.model_copy(update={block: getattr(short, block).model_copy(update=update)})
        assert message in mistake(ValueError, other, store, run, resume=True)
    noised = short.model_copy(update={"noise": NoiseSettings()})
    assert 'noise null, the recipe given {"clean": 0.5,' in mistake(ValueError, noised, store, run, resume=True)
    for damage in ("", "[]", "{"):
        (run / "recipe.json").write_text(damage)
        assert "recipe.json is damaged" in mistake(ValueError, short, store, run, resume=True)
    (run / "recipe.json").write_text('{"model": {"family": "vqvae"}, "trainings": {}}')
    assert "recipe.json: trainings: unknown key; did you mean training?" in mistake(
        ValueError, short, store, run, resume=True)


def former_files(run) -> None:
    """Rewrites the recipe and the log of a run as versions before the present names and columns wrote them."""
    values = json.loads((run / "recipe.json").read_text())
    for block, settings in (("loss", LossWeights), ("noise", NoiseSettings), ("training", TrainingSettings)):
        for former, present in settings.former_names.items():
            values[block][former] = values[block].pop(present)
    (run / "recipe.json").write_text(json.dumps(values, indent=2) + "\n")
    log = pd.read_csv(run / "log.csv").drop(columns="learning_rate")
    for column in ("prdn", "derivative", "spectral"):
        log[column] = np.log(log[column] / 100)
    log.to_csv(run / "log.csv", index=False)


def test_a_run_of_an_earlier_version_is_resumed(store, recipe, tmp_path, without_pictures):
    """It ends as an uninterrupted run of this version; its recipe.json stays, its log is converted once."""
    noised = changed(recipe.model_copy(update={"noise": NoiseSettings()}), log_every=1)
    def stop(step, _):
        if step == 9:
            raise Interrupted
    with pytest.raises(Interrupted):
        train(noised, store, tmp_path / "run", progress=stop)
    former_files(tmp_path / "run")
    before = (tmp_path / "run" / "recipe.json").read_bytes()
    train(noised, store, tmp_path / "run", resume=True)
    train(noised, store, tmp_path / "uninterrupted")
    resumed, expected = results(tmp_path / "run"), results(tmp_path / "uninterrupted")
    assert resumed["files"].pop("recipe.json") == before != expected["files"].pop("recipe.json")
    logs = [pd.read_csv(StringIO(files["files"].pop("log.csv").decode())) for files in (resumed, expected)]
    assert same(resumed, expected)
    resumed_rates, expected_rates = (log["learning_rate"] for log in logs)
    assert resumed_rates[:8].isna().all() and resumed_rates[8:].equals(expected_rates[8:])
    pd.testing.assert_frame_equal(*(log.drop(columns="learning_rate") for log in logs))


def test_tensorboard_has_the_numbers_and_the_pictures(store, recipe, tmp_path):
    run, short = tmp_path / "run", changed(recipe, steps=2)
    train(short, store, run)
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    log, validation = pd.read_csv(run / "log.csv"), pd.read_csv(run / "validation.csv")
    columns = {f"train/{name}": log[name] for name in log.columns[1:]} | {
        f"validation/{name}": validation[name] for name in validation.columns[1:]}
    assert set(events.Tags()["scalars"]) == columns.keys() >= {"train/learning_rate", "train/prdn", "validation/prdn_1"}
    for tag, values in columns.items():
        assert [event.value for event in events.Scalars(tag)] == pytest.approx(values.tolist(), rel=1e-6)
    assert events.Tags()["images"] == ["validation/reconstructions"]
    (image,) = events.Images("validation/reconstructions")
    picture = imread(run / "pictures" / "step-000002.png")
    assert image.step == 2 and (image.height, image.width) == picture.shape[:2]
    np.testing.assert_allclose(imread(BytesIO(image.encoded_image_string)), picture, atol=1 / 255)


def test_a_run_is_resumed_with_its_own_store_and_state(store, recipe, tmp_path, without_pictures):
    run, short = tmp_path / "run", changed(recipe, steps=1)
    train(short, store, run)
    other = copy.copy(store)
    other.fingerprint = "0"
    assert "state.pt is of other data; wanted those that the run was started with" in mistake(
        ValueError, short, other, run, resume=True)
    whole = (run / "state.pt").read_bytes()
    for damage in (whole[:1000], b"", b"state"):
        (run / "state.pt").write_bytes(damage)
        assert "state.pt is damaged; wanted the state" in mistake(ValueError, short, store, run, resume=True)


@pytest.mark.parametrize(("part", "change", "expected"), [
    ("training", {"window": 0.1}, "training.window is 0.1 s; wanted 64 samples or more, 0.64 s"),
    ("signal", {"rate": 250}, "has a rate of 100 Hz; the recipe wants 250"),
    ("signal", {"leads": ("I", "V7")}, "the model wants I, V7"),
])
def test_a_recipe_that_does_not_fit_the_store_leaves_no_file(store, recipe, tiny_settings, tmp_path, part, change,
                                                             expected):
    wrong = (changed(recipe, **change) if part == "training"
             else recipe.model_copy(update={"model": tiny_settings(signal=change)}))
    assert expected in mistake(ValueError, wrong, store, tmp_path / "run")
    assert not (tmp_path / "run" / "log.csv").exists()
    assert expected in mistake(ValueError, wrong, store, tmp_path / "run")      # not that a run is there
