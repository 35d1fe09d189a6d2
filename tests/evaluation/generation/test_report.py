"""The whole report: what is real must look real, and what is not must not."""

from dataclasses import replace

import numpy as np
import pytest
from stores import write_store

from ecgvae.evaluation.generation import measure_samples
from ecgvae.evaluation.generation import report as report_module
from ecgvae.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_settings, random_model):
    return Tokenizer(random_model(tiny_settings(signal={"leads": ("I", "II", "V1"), "rate": 50})), "tiny", "0123")


@pytest.fixture(scope="module")
def good(ecg_store, draw_set, cache, tokenizer):
    """The report on samples that are drawn as the real records."""
    stages = []
    result = measure_samples(draw_set(100, 9), ecg_store, "test", tokenizer, 2, cache,
                             stage=lambda stage, done, total: stages.append((stage, done, total)))
    return result, stages


def test_real_samples_are_as_near_as_real_records(good):
    report, _ = good
    for space in ("random", "classifier"):
        rows = report["sections"]["distances"][space]
        assert list(rows) == ["samples", "decoded", "validation", "training"]
        assert 0.6 < rows["samples"]["frechet_ratio"] < 1.6 and rows["validation"]["frechet_ratio"] == 1
        for name in ("precision", "recall", "coverage"):
            assert abs(rows["samples"][name]["value"] - rows["validation"][name]["value"]) < 0.2
        assert rows["decoded"]["frechet_ratio"] > 2
        areas = report["sections"]["discriminator"][space]
        assert 0.35 < areas["samples"]["value"] < 0.65
        assert list(areas) == ["samples", "decoded", "validation", "training", "samples_against_decoded"]
    assert report["sections"]["discriminator"]["random"]["samples_against_decoded"]["value"] > 0.95
    utility = report["sections"]["utility"]
    assert utility["samples"]["ratio"]["value"] > 0.95 and utility["samples"]["agreement"]["value"] > 0.85
    assert utility["decoded"].keys() == {"tstr", "trtr", "ratio"} and utility["reference"].keys() == {"agreement"}


def test_physiology_and_memorisation_are_beside_their_floors(good):
    sections = good[0]["sections"]
    assert list(sections["physiology"]) == ["samples", "decoded", "validation", "training"]
    for row in sections["physiology"].values():
        assert set(row) == {"undelineated", "intervals", "beats", "waveforms"}
        ranges = row["intervals"]["range_V1"]
        assert ranges["ks"]["low"] <= ranges["ks"]["value"] <= ranges["ks"]["high"] and ranges["real_values"] == 8
    assert sections["physiology"]["decoded"]["waveforms"]["spectrum_db_5_15"] > 5
    assert list(sections["memorisation"]) == ["samples", "decoded", "validation"] and good[0]["missing"] == {}
    assert 0.1 < sections["memorisation"]["samples"]["nearer"] < 0.9


def test_copies_are_memorised(ecg_store, draw_set, cache):
    training = ecg_store.split("train")[:30]
    copies = replace(draw_set(30, 1), labels=None, signals=np.stack([ecg_store.signal(row) for row in training]))
    report = measure_samples(copies, ecg_store, cache=cache)
    assert report["sections"]["memorisation"].keys() == {"samples"}
    assert report["sections"]["memorisation"]["samples"]["below_minimum"] == 1
    assert report["sections"]["utility"].keys() == {"reference"} and report["labelled"] == 0


def test_facts_of_a_report(good, ecg_store):
    report, stages = good
    assert report["records"] == {"samples": 100, "reference": 40, "training": 120, "validation": 45, "decoded": 120}
    assert report["compared"] == 40 and report["seconds"] == 4 and report["labelled"] == 100
    assert report["tokenizer"] == {"name": "tiny", "identity": "0123", "codebooks": 2}
    assert (report["store"], report["split"]) == ("store", "test") and report["left_out"] == report["notes"] == []
    assert list(report["sections"]) == list(report_module.SECTIONS)
    for name, total in (("records decoded", 120), ("epochs of the classifier", 15),
                        ("records through the random network", 425)):
        assert (name, total, total) in stages


def test_noise_is_far_from_real(ecg_store, draw_set, cache):
    real = draw_set(60, 9)
    noise = replace(real, signals=np.random.default_rng(0).normal(0, 0.5, real.signals.shape).astype(np.float32))
    report = measure_samples(noise, ecg_store, cache=cache)
    rows = report["sections"]["distances"]["random"]
    assert list(rows) == ["samples", "training"] and report["tokenizer"] is None
    assert rows["samples"]["frechet_ratio"] > 3 and rows["samples"]["recall"]["value"] < 0.1
    assert report["sections"]["discriminator"]["random"]["samples"]["value"] > 0.99
    assert report["sections"]["utility"]["samples"]["tstr"]["value"] < 0.75


def test_typical_samples_have_precision_without_recall(ecg_store, draw_set, cache):
    real = draw_set(60, 9)
    typical = replace(real, signals=np.repeat(real.signals[:5], 12, axis=0))
    rows = measure_samples(typical, ecg_store, cache=cache)["sections"]["distances"]["random"]
    assert rows["samples"]["precision"]["value"] > 0.6 and rows["samples"]["recall"]["value"] < 0.1
    assert rows["training"]["recall"]["value"] > 0.5


def test_shuffled_labels_are_worth_nothing(ecg_store, draw_set, cache):
    samples = draw_set(100, 9)
    shuffled = replace(samples, labels=samples.labels[np.random.default_rng(0).permutation(100)])
    utility = measure_samples(shuffled, ecg_store, cache=cache)["sections"]["utility"]["samples"]
    assert utility["ratio"]["value"] < 0.75 and utility["agreement"]["value"] < 0.65


def test_a_store_without_labels_has_no_classifier(tmp_path, draw_set):
    ecgs = draw_set(60, 0)
    store = write_store(tmp_path / "store", ecgs.signals, ecgs.leads, ecgs.rate, fold=np.repeat([1, 9], [40, 20]))
    report = measure_samples(draw_set(30, 1), store, cache=tmp_path)
    assert list(report["sections"]["distances"]) == ["random"] and report["sections"]["utility"] == {}
    assert report["compared"] == 20 and not list(tmp_path.glob("*.safetensors"))


def test_sets_that_cannot_be_compared_are_refused(ecg_store, draw_set):
    with pytest.raises(ValueError, match="samples has I, II, V1 at 60 Hz; the store has I, II, V1 at 50 Hz"):
        measure_samples(replace(draw_set(9, 0), rate=60.0), ecg_store)
    with pytest.raises(ValueError, match="split other; wanted train"):
        measure_samples(draw_set(9, 0), ecg_store, "other")
    with pytest.raises(ValueError, match="6 samples; wanted 7 or more"):
        measure_samples(draw_set(6, 0), ecg_store)
