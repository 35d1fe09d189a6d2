"""The supervised classifier and the folder in which it is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgvae.evaluation.generation import classifier, classifier_cache
from ecgvae.evaluation.generation.classifier import augment, train_classifier
from ecgvae.evaluation.generation.classifier_cache import cache_folder, cached_classifier
from ecgvae.evaluation.generation.linear import macro_auc


@pytest.fixture(scope="module")
def trained(draw_set):
    return train_classifier(draw_set(160, 0, "training"), epochs=8)


def test_it_learns_the_classes(trained, draw_set):
    held_out, done = draw_set(60, 1), []
    features = trained.features(held_out.signals, done.append)
    assert features.shape == (60, 2 * classifier.WIDTHS[-1]) and done == [60]
    assert macro_auc(held_out.labels, trained.logits(features)) > 0.85
    with torch.inference_mode():
        logits = trained(torch.from_numpy(held_out.signals))
    np.testing.assert_allclose(trained.logits(features), logits.numpy(), atol=1e-5)


def test_the_seed_decides_and_global_randomness_stays(draw_set):
    training, state = draw_set(40, 0), torch.get_rng_state()
    same, again, other = (train_classifier(training, seed, epochs=1).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert not torch.equal(same["head.weight"], other["head.weight"]) and torch.equal(torch.get_rng_state(), state)


def test_augmented_ecgs_are_crops_with_gains_and_lost_leads():
    x = torch.arange(1, 101.0).expand(200, 3, 100)
    crops = augment(x, torch.Generator().manual_seed(0))
    assert crops.shape == (200, 3, 80) and 0.05 < (crops == 0).all(-1).float().mean() < 0.16
    steps = (crops[..., 1:] - crops[..., :-1])[(crops != 0).all(-1)]
    gains = steps.mean(-1)
    torch.testing.assert_close(steps, gains[:, None].expand_as(steps), rtol=1e-3, atol=1e-3)
    assert gains.log().std() == pytest.approx(0.15, rel=0.2)


def test_ecgs_without_classes_cannot_train_one(draw_set):
    for labels in (None, np.zeros((9, 5), bool)):
        with pytest.raises(ValueError, match="samples has no two ECGs with a class"):
            train_classifier(replace(draw_set(9, 0), labels=labels))


def test_a_classifier_is_trained_once_for_the_same_ecgs(draw_set, tmp_path, monkeypatch):
    training, trainings = draw_set(40, 0), []
    monkeypatch.setattr(classifier_cache, "train_classifier", lambda ecgs, seed, progress: trainings.append(
        (len(ecgs), seed)) or train_classifier(ecgs, seed, 1))
    first, again = cached_classifier(training, tmp_path / "new"), cached_classifier(training, tmp_path / "new")
    assert len(trainings) == 1 and not again.training
    np.testing.assert_array_equal(first.features(training.signals), again.features(training.signals))
    for changed in (replace(training, labels=training.labels[::-1]), training.cut(100), replace(training, rate=60.0)):
        cached_classifier(changed, tmp_path / "new")
    cached_classifier(training, tmp_path / "new", seed=1)
    assert len(trainings) == 5
    files = list((tmp_path / "new").iterdir())
    assert len(files) == 5 and {file.suffix for file in files} == {".safetensors"}
    for content in (b"", b"not a file of weights", files[0].read_bytes()[:-7]):
        for file in files:
            file.write_bytes(content)
        before = len(trainings)
        cached_classifier(training, tmp_path / "new")
        assert len(trainings) == before + 1


def test_the_folder_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ecgvae"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "ecgvae"
