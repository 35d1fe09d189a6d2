"""Cards of priors: what each is, what was kept of reports on its samples, and damaged files in one line."""

import json
import shutil

import pytest
from commands import call, mistake
from forging import FUZZ, ODD_VALUES, check_refused_or_read, every_key, forge
from hypothesis import given
from hypothesis import strategies as st

from ecgvae import checkpoint
from ecgvae.cards import prior_card
from ecgvae.codebooks import CodebookSpec, LatentSpec
from ecgvae.evaluation.generation.sampling import Sampling
from ecgvae.evaluation.report_file import FILE
from ecgvae.evaluation.sample_reports import read_sample_reports, save_sample_report

SAMPLING = Sampling({"guidance 2.0": 30}, 0)


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 1, "high": value + 1}


def physiology(value: float) -> dict:
    """The physiology of a set whose distances begin with a value and are .001 apart."""
    names = ("heart_rate", "pr", "qrs", "qt", "range_I", "range_II")
    return {"undelineated": {"real": 0.0, "generated": value},
            "intervals": {name: {"ks": estimate(value + index / 1000)} for index, name in enumerate(names)},
            "beats": {"variance_ratio": estimate(10 * value), "variance_ks": 0.0},
            "waveforms": {"spectrum_db_1_5": value, "lead_correlation": value, "amplitude_ks_I": 0.0}}


def sample_report(split: str = "validation", **changes) -> dict:
    """A report as `measure` returns it, in which each number of the card is there once."""
    real = {"test": ("validation", "training"), "validation": ("training",)}[split]
    names = ("frechet", "frechet_ratio", "precision", "recall", "density", "coverage")
    rows = ("samples", "decoded", *real)
    distances = {space: {row: {name: estimate((first + 10 * index + column) / 1000)
                               for column, name in enumerate(names)}
                         for index, row in enumerate(rows)} for space, first in (("random", 100), ("classifier", 200))}
    for space in distances.values():
        for row in space.values():
            row["frechet_ratio"] = 10 * row["frechet_ratio"]["value"]
    discriminator = {space: {row: estimate((first + index) / 1000)
                             for index, row in enumerate((*rows, "samples_against_decoded"))}
                     for space, first in (("random", 300), ("classifier", 310))}
    nearest = {"nearer": 0.4321, "below_p1": 0.0761, "below_minimum": 0.0, "distance_median": 0.8,
               "held_out_distance_median": 0.7, "ratio_median": 0.9, "held_out_ratio_median": 0.9}
    utility = {"samples": {"tstr": estimate(0.401), "trtr": estimate(0.402), "ratio": estimate(0.99),
                           "trts": estimate(0.6), "agreement": {"value": 0.403}},
               "decoded": {"tstr": estimate(0.411), "trtr": estimate(0.412), "ratio": estimate(0.99)},
               "reference": {"agreement": {"value": 0.413}}}
    return {"samples": "/home/somebody/new", "store": "my.store", "split": split,
            "tokenizer": {"name": "tiny", "identity": "0" * 16, "codebooks": 2},
            "records": {"samples": 30, "reference": 25, "training": 2000, "decoded": 2000},
            "compared": 24, "seconds": 10.0, "rate": 100.0, "leads": ["I", "II"], "seed": 0, "labelled": 28,
            "left_out": [["x", "/home/somebody/x is too short"]], "notes": [], "missing": {},
            "sections": {"distances": distances, "discriminator": discriminator, "utility": utility,
                         "physiology": {row: physiology((500 + 10 * index) / 1000) for index, row in enumerate(rows)},
                         "memorisation": {"samples": nearest, "decoded": nearest}}, **changes}


@pytest.fixture
def own_prior(prior, tmp_path):
    return shutil.copytree(prior, tmp_path / "mine")


def plain(card: str) -> str:
    """A card without line breaks."""
    return " ".join(card.split())


def test_what_a_prior_is(own_prior, model, tmp_path):
    card = call("card", own_prior).stdout
    assert card == prior_card(own_prior) and card.startswith("# mine\n\nAn autoregressive prior over the tokens of ")
    identity, config = checkpoint.identity(model), checkpoint.prior_config(own_prior)
    for text in (f"`tiny` ({identity}): 2 codebooks of 32 codes, one code every 60 ms; 167 bit/s",
                 f"It has {config['facts']['parameters']:,} parameters", "12-lead ECG at 100 Hz", "frames of 60 ms",
                 "labels of the columns superclass and statements; age; sex; each may be unknown",
                 "The labels are NORM, MI, CD, CLBBB, AFIB.", f"**Identity:** `{config['identity']}`",
                 "Not evaluated yet: `ecgvae evaluate-samples SAMPLES STORE --save PRIOR`",
                 "do not diagnose from generated ECG"):
        assert text in plain(card)
    assert "Bit rate" not in card and "**Training" not in card
    out = tmp_path / "card.md"
    assert call("card", own_prior, "--out", out).stdout == f"{out}\n" and out.read_text() == card
    assert "use --overwrite" in mistake("card", own_prior, "--out", out)
    assert "1989–1996" in call("card", own_prior, "--dataset", "ptbxl").stdout
    assert "no data set ptbx; wanted one of ptbxl" in mistake("card", own_prior, "--dataset", "ptbx")


@pytest.mark.parametrize(("changes", "text"), [
    ({"kind": "pixelcnn"}, "A PixelCNN prior over the tokens of `tiny`"),
    ({"kind": "masked"}, "A prior by masked discrete diffusion over the tokens of `tiny`"),
    ({"kind": "latent"}, "A prior by flow matching over the latent of `tiny`"),
    ({"kind": "latent", "process": "ddpm"}, "A prior by Gaussian diffusion (DDPM) over the latent of `tiny`")])
def test_other_kinds(changes, text, tiny_settings, random_model, tmp_path):
    from ecgvae.priors import build_prior, parse_prior_settings

    is_latent = changes["kind"] == "latent"
    autoencoder = checkpoint.save(random_model(tiny_settings("vae" if is_latent else "vqvae")), tmp_path / "tiny")
    over = LatentSpec(6, 8) if is_latent else (CodebookSpec(6, 32),) * 2
    module = build_prior(parse_prior_settings(changes), over)
    metrics = {"loss": 0.5, "step": 3} | ({} if is_latent else {"bits_per_second": 24.0})
    card = plain(prior_card(checkpoint.save_prior(module, tmp_path / "p", autoencoder, metrics=metrics)))
    assert text in card and "no labels, age or sex can be asked for" in card
    if is_latent:
        assert "8 numbers every 60 ms" in card and "**Loss on validation records:** 0.5 after 3 steps." in card
    else:
        bound = "at most " if changes["kind"] == "masked" else ""
        assert f"{bound}24 bit/s for an ideal entropy coder with the prior's probabilities; the codes alone" in card
        assert ("at most" in card) == bool(bound)


def test_a_prior_is_said_to_have_the_data_of_its_autoencoder_only_if_it_had_the_same(prior, model, tmp_path):
    module, source = checkpoint.load_prior(prior), tmp_path / "model"
    facts = {"store": "s", "records": 3, "fingerprint": "one", "training": {"steps": 5}}
    checkpoint.save(checkpoint.load(model), source, {**facts, "data": "ten wards", "dataset": "ptbxl",
                                                     "splits": {"test": "ward 10"}, "weights_licence": "MIT"})
    for fingerprint in ("one", "another"):
        folder = checkpoint.save_prior(module, tmp_path / fingerprint, source, facts | {"fingerprint": fingerprint})
        save_sample_report(folder, sample_report("test"), SAMPLING)
        is_same, card = fingerprint == "one", plain(prior_card(folder))
        assert ("**Training data:** ten wards; 3 records." in card) == is_same == ("Ward 10 (30 samples" in card)
        assert ("Wagner" in card and "1989–1996" in card) == is_same
        assert ("**Training data:** `s`; 3 records." in card) != is_same and "5 steps" in card and "MIT" not in card


def test_the_numbers_of_saved_reports_are_in_the_card(own_prior):
    for split in ("validation", "test"):
        assert save_sample_report(own_prior, sample_report(split), SAMPLING) == own_prior / FILE
    card = prior_card(own_prior)
    assert card.index("The test split (30 samples") < card.index("The validation split (30 samples")
    for line in ("|  | samples | decoded real | real, validation | real, training |",
                 "| random network: Fréchet / floor | 1.01 | 1.11 | 1.21 | 1.31 |",
                 "| random network: precision | 0.102 | 0.112 | 0.122 | 0.132 |",
                 "| classifier: recall | 0.203 | 0.213 | 0.223 | 0.233 |",
                 "| classifier: coverage | 0.205 | 0.215 | 0.225 | 0.235 |",
                 "| random network: discriminator, AUC | 0.300 | 0.301 | 0.302 | 0.303 |",
                 "| classifier: discriminator from decoded real, AUC | 0.314 | – | – | – |",
                 "| TSTR / TRTR | 0.401 / 0.402 | 0.411 / 0.412 | – | – |",
                 "| labels agree with the classifier, AUC (real: 0.413) | 0.403 | – | – | – |",
                 "| heart rate, KS | 0.500 | 0.510 | 0.520 | 0.530 |",
                 "| QRS duration, KS | 0.502 | 0.512 | 0.522 | 0.532 |",
                 "| QT interval, KS | 0.503 | 0.513 | 0.523 | 0.533 |",
                 "| variance of beats within a record / real | 5.00 | 5.10 | 5.20 | 5.30 |",
                 "|  | samples | decoded real | real, training |"):
        assert f"\n{line}\n" in card
    for text in ("options of sampling: guidance 2.0; 2 samples without superclasses; 25 real records of `my.store`; "
                 "24 compared at a time; 1 record left out",
                 "are the training split by `tiny` (0000000000000000) with 2 codebooks",
                 "with a probability of 0.43 ", "and 7.6 % of the samples are nearer"):
        assert plain(card).count(text) == 2
    assert "Not evaluated" not in card and "given record" not in card
    assert "somebody" not in card and "somebody" not in (own_prior / FILE).read_text()
    assert sorted(read_sample_reports(own_prior)) == ["test", "validation"]


def test_what_was_not_measured_is_said(own_prior):
    sections = sample_report()["sections"] | {"physiology": {}, "utility": {}, "memorisation": {}}
    del sections["distances"]["classifier"], sections["discriminator"]["classifier"]
    sections["distances"]["random"]["samples"]["recall"]["value"] = float("nan")
    report = sample_report(sections=sections, missing={"physiology": "neurokit2 is away"}, tokenizer=None)
    save_sample_report(own_prior, report, Sampling({"": 20, "top_k 9": 10}, 4))
    card = plain(prior_card(own_prior))
    assert "Not measured: physiology (neurokit2 is away)." in card and "| random network: recall | – |" in card
    assert "options of sampling: the defaults (20); top_k 9 (10);" in card
    assert "**4 of the samples begin with a given record, so the distances are too low**" in card
    assert not [text for text in ("heart rate", "TSTR / TRTR", "| classifier", "Memorisation", "training split by")
                if text in card]


def test_reports_of_another_prior_or_of_a_model_are_refused(own_prior, model, tmp_path):
    save_sample_report(own_prior, sample_report(), SAMPLING)
    path, own_model = own_prior / FILE, shutil.copytree(model, tmp_path / "model")
    values = json.loads(path.read_text())
    shutil.copy(path, own_model / FILE)
    assert f"{own_model / FILE} is damaged: validation." in mistake("card", own_model)
    for damage in ({"validation": 1}, [], "{", {"validation": {**values["validation"], "records": {"samples": 0}}},
                   {"validation": {**values["validation"], "further": 1}}):
        path.write_text(damage if damage == "{" else json.dumps(damage))
        assert "evaluation.json is damaged" in mistake("card", own_prior)
    path.write_text(json.dumps({"validation": {**values["validation"], "identity": "0" * 16}}))
    assert "has reports of the prior 0000000000000000" in mistake("card", own_prior)


@pytest.mark.parametrize("name", checkpoint.pretrained_priors())
def test_shipped_priors_have_a_card(name):
    card, folder = call("card", name).stdout, checkpoint.locate_prior(name)
    assert checkpoint.prior_config(name)["identity"] in card and "Wagner" in card and "2,010 records" in card
    assert not (folder / "README.md").exists() or (folder / "README.md").read_text(encoding="utf-8") == card


def test_neither_a_model_nor_a_prior(tmp_path):
    assert "no model or prior nothing; wanted a checkpoint folder or one of ptbxl-" in mistake("card", "nothing")
    assert "is not an ecgvae model or prior" in mistake("card", tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    assert "is a run without a model or prior yet" in mistake("card", tmp_path)


@FUZZ
@given(data=st.data())
def test_forged_reports_and_facts_end_in_one_line(own_prior, data):
    """A value anywhere in evaluation.json, or in a block of config.json, is another."""
    report, config = own_prior / FILE, own_prior / "config.json"
    if not report.exists():
        save_sample_report(own_prior, sample_report(), SAMPLING)
        values = json.loads(config.read_text())
        values["training"] = {"data": "x", "records": 3, "training": {"steps": 3, "batch_size": 2, "window": 5.0}}
        values["metrics"] = {"loss": 3.5, "bits_per_second": 600.0, "step": 9}
        for path, content in ((report, report.read_text()), (config, json.dumps(values))):
            path.with_suffix(".original").write_text(content)
    for path, block in ((report, "validation"), (config, data.draw(st.sampled_from(["training", "metrics", "prior"])))):
        values = json.loads(path.with_suffix(".original").read_text())
        forge(values[block], data.draw(st.sampled_from([*every_key(values[block])])), data.draw(ODD_VALUES))
        path.write_text(json.dumps(values))
    check_refused_or_read(prior_card, own_prior)
