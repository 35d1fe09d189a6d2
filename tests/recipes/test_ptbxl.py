"""The PTB-XL recipes and their scripts, on a store of simulated records with PTB-XL's columns."""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from stores import write_store

from ecgvae import checkpoint
from ecgvae.models import FAMILIES
from ecgvae.priors import KINDS
from ecgvae.signal import LEADS_12
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training.loop import train
from ecgvae.training.recipe import read_recipe

FOLDER = Path(__file__).parents[2] / "recipes" / "ptbxl"
RECIPES = sorted(path for path in FOLDER.glob("*.yaml") if not path.stem.startswith(("prior_", "sharper")))
PRIOR_RECIPES = sorted(FOLDER.glob("prior_*.yaml"))
SHORT = ("training.steps=2", "training.batch_size=4", "training.validate_every=2")
CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")

pytestmark = pytest.mark.skipif(not RECIPES, reason="not run from the source tree")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Seventy records of 10 s with PTB-XL's columns, in ten folds."""
    beats = [simulate(condition, seconds=10, rate=100, seed=1).signal for condition in list(CONDITIONS)[:6]]
    noise = np.random.default_rng(0)
    signals = np.stack([beats[index % 6] + noise.normal(0, 0.02, beats[0].shape) for index in range(70)])
    return write_store(tmp_path_factory.mktemp("stores") / "store", signals, LEADS_12, patient=np.arange(70),
                       fold=1 + np.arange(70) // 7, age=np.linspace(20, 90, 70), sex=np.arange(70) % 2,
                       superclass=[[CLASSES[index % 6 % 5]] for index in range(70)])


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_has_a_recipe():
    assert {path.stem for path in RECIPES} == {*FAMILIES, "vqgan", "fsq"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_trains(path, store, tmp_path):
    changes = ("model.backbone=conv-tiny", *SHORT)
    changes += ("adversarial.start=0",) if path.stem == "vqgan" else ()
    recipe = read_recipe(path, changes)
    trained = checkpoint.load(train(recipe, store, tmp_path / "run"))
    assert trained.settings == recipe.model
    columns = (tmp_path / "run" / "log.csv").read_text().splitlines()[0].split(",")
    assert ("discriminator" in columns) == (path.stem == "vqgan")
    assert ("kl" in columns) == (path.stem in ("vae", "cvae"))


def test_a_sharper_decoder_has_the_same_tokens(store, tmp_path):
    recipe = read_recipe(FOLDER / "sharper.yaml", ("training.window=1", *SHORT))
    trained, before = checkpoint.load(train(recipe, store, tmp_path / "run")), checkpoint.load("ptbxl-vqvae-conv")
    x = torch.from_numpy(store.signal(0)[None, [0, 1, *range(6, 12)]])
    codes = trained.tokenize(x)
    assert all(torch.equal(*pair) for pair in zip(codes, before.tokenize(x), strict=True))
    assert not torch.equal(trained.detokenize(codes), before.detokenize(codes))


def test_every_kind_of_prior_has_a_recipe():
    assert {path.stem.removeprefix("prior_") for path in PRIOR_RECIPES} == set(KINDS)


@pytest.mark.parametrize("path", PRIOR_RECIPES, ids=lambda path: path.stem)
def test_a_recipe_of_a_prior_trains(path, store, tmp_path):
    """The store has superclasses only."""
    labels = ("prior.condition.labels=[NORM, MI, STTC, CD, HYP]", "prior.condition.column=superclass")
    recipe = read_recipe(path, (*labels, *SHORT, "training.batch_size=2"))
    trained = checkpoint.load_prior(train(recipe, store, tmp_path / "run"))
    assert trained.settings == recipe.prior
    assert trained.sample(1, 4, generator=torch.Generator().manual_seed(0)).shape[0] == 1


def test_the_comparison_goes_on_where_it_was_and_says_the_same(store, tmp_path, monkeypatch, capsys):
    compare = script("compare")
    monkeypatch.setattr(sys, "argv", ["compare.py", str(store.path), str(tmp_path / "out"), "--steps", "2", "--size",
                                      "tiny", "--families", "vae,vqvae2", "--backbones", "conv"])
    compare.main()
    first = capsys.readouterr().out
    assert "vae-conv" in first and "vqvae2-conv" in first and "PRDN % by bit/s" in first
    reports = {path: path.read_text() for path in tmp_path.glob("out/*/report-validation.json")}
    assert len(reports) == 2
    for path, text in reports.items():
        rows = json.loads(text)["rows"]
        assert f"{rows[-1]['prdn']['mean']:.1f}" in first, path
    monkeypatch.setattr(compare, "train", None)     # nothing is trained again
    compare.main()
    assert {path: path.read_text() for path in reports} == reports


def test_the_ablation_of_noising(store, tmp_path, monkeypatch, capsys):
    noise = script("noise")
    monkeypatch.setattr(noise, "CONFIGURATIONS", [{"clean": 1.0}, {"x0_weight": 0, "timestep_sampling": "low-noise",
                                                                   "clean": 0.5, "artefacts": 0.5}])
    (tmp_path / "ae.yaml").write_text((FOLDER / "ae.yaml").read_text().replace("conv-small", "conv-tiny"))
    monkeypatch.setattr(sys, "argv", ["noise.py", str(store.path), str(tmp_path / "out"), "--steps", "2",
                                      "--recipe", str(tmp_path / "ae.yaml")])
    noise.main()
    shown = capsys.readouterr().out
    assert "w = 0, t low-noise, 0.5 clean, 0.5 of the rest artefacts" in shown
    assert "muscle" in shown and "nan" not in shown
    folders = {path.parent.name: path for path in tmp_path.glob("out/*/report-validation.json")}
    assert set(folders) == {"clean=1.0", "w=0-draw=low-noise-clean=0.5-artefacts=0.5"}

    for path in folders.values():       # reports of earlier versions have the former names of keys
        report = json.loads(path.read_text())
        report |= {former: report.pop(name) for name, former in noise.FOLDER_KEYS.items() if name in report}
        path.write_text(json.dumps(report))
    monkeypatch.setattr(noise, "train", None)       # nothing is trained again
    noise.main()
    assert capsys.readouterr().out == shown


def test_the_price_of_few_solver_steps(store, tmp_path, monkeypatch, capsys):
    from ecgvae.codebooks import LatentSpec
    from ecgvae.priors import build_prior, parse_prior_settings

    steps = script("solver_steps")
    settings = {"kind": "latent", "width": 16, "layers": 1, "heads": 1, "condition": {"labels": ["NORM"]}}
    folder = checkpoint.save_prior(build_prior(parse_prior_settings(settings), LatentSpec(8, 16)), tmp_path / "prior",
                                   "ptbxl-vae-conv")
    monkeypatch.setattr(steps, "STEPS", (1, 3))
    monkeypatch.setattr(sys, "argv", ["solver_steps.py", str(folder), str(store.path)])
    steps.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines if line[0] in ("heun", "euler")] == [
        ["heun", "1"], ["heun", "3"], ["euler", "1"], ["euler", "3"]]
    assert [line[3] for line in lines if line[:2] in (["heun", "3"], ["euler", "3"])] == ["1.00", "1.00"]


def test_the_comparison_of_priors(store, tmp_path, monkeypatch, capsys):
    compare = script("compare_priors")
    labels = ("prior.condition.labels=[NORM, MI, STTC, CD, HYP]", "prior.condition.column=superclass")
    monkeypatch.setattr(compare, "read_recipe", lambda path, overrides: read_recipe(
        path, (*overrides, *labels, "training.batch_size=2")))
    monkeypatch.setattr(compare, "measure_samples", partial(compare.measure_samples, cache=tmp_path / "cache"))
    monkeypatch.setattr(compare, "seconds_per_step", lambda recipes, store: dict.fromkeys(recipes, 30))
    monkeypatch.setattr(sys, "argv", ["compare_priors.py", str(store.path), str(tmp_path / "out"), "--minutes", "1",
                                      "--kinds", "autoregressive,latent", "--count", "8"])
    compare.main()
    table = capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "steps.json").read_text())["masked"] == 2
    reports = {kind: json.loads((tmp_path / "out" / f"{kind}-validation.json").read_text())
               for kind in ("autoregressive", "latent")}
    for kind, report in reports.items():
        assert kind in table and report["records"]["samples"] == 8 and report["steps"] == 2
        area = report["sections"]["discriminator"]["random"]["samples"]["value"]
        assert f"{area:.3f}" in table
    assert reports["autoregressive"]["bits"] > 0 and reports["latent"]["bits"] is None
    monkeypatch.setattr(compare, "train", None)     # nothing is trained again
    compare.main()
    assert capsys.readouterr().out == table
