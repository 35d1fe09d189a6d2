"""The probe on records whose classes are known to be readable, or not."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from stores import write_store

from ecgvae.data.fingerprints import TrainingRecords
from ecgvae.data.training_data import measure_training_data
from ecgvae.evaluation import probe as module
from ecgvae.evaluation.probe import CLASSES, bootstrap_interval, labels, pooled_features, probe
from ecgvae.metrics import auc
from ecgvae.models import build

LEADS = ("I", "II")


@pytest.fixture(scope="module")
def model(tiny_settings):
    torch.manual_seed(0)
    return build(tiny_settings(signal={"leads": LEADS})).eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """200 records of noise with a slow wave, higher in lead I for each class a record has but HYP."""
    random = np.random.default_rng(0)
    true = random.random((200, 5)) < 0.4
    gains = 0.2 + true[:, :4] @ [0.1, 0.2, 0.4, 0.8]
    time = np.arange(120) / 100
    waves = np.stack([np.outer(gains, np.sin(2 * np.pi * 3 * time)), np.outer(true @ [1, 0, 0, 1, 0], time)], axis=1)
    named = [[name for name, has in zip(CLASSES, row, strict=True) if has] for row in true]
    return write_store(tmp_path_factory.mktemp("probe") / "store", waves + random.normal(0, 0.1, waves.shape), LEADS,
                       fold=np.arange(200) % 10 + 1, patient=np.arange(200) // 2, superclass=named)


def test_features_are_mean_and_deviation_over_frames(model, store):
    rows = np.array([7, 3])
    pooled = pooled_features(model, store, rows)
    for row, found in zip(rows, pooled, strict=True):
        with torch.inference_mode():
            frames = model.features(torch.from_numpy(store.signal(row))[None])[0].numpy()
        np.testing.assert_allclose(found, [*frames.mean(1), *frames.std(1)], rtol=1e-4, atol=1e-6)


def test_test_fold_with_C_from_the_validation_fold(model, store):
    """The whole protocol once more, by scikit-learn's pipeline and its areas."""
    x, y = pooled_features(model, store, np.arange(200)), labels(store, np.arange(200))
    some = y.any(1)
    train, tune, test = (np.flatnonzero(some & np.isin(np.arange(200) % 10 + 1, folds))
                         for folds in (range(1, 9), [9], [10]))

    def area(c, rows):
        return np.mean([roc_auc_score(y[rows, k], make_pipeline(StandardScaler(), LogisticRegression(
            C=c, max_iter=1000)).fit(x[train], y[train, k]).decision_function(x[rows])) for k in range(5)])
    C = max(module.C_GRID, key=lambda c: area(c, tune))
    found = probe(model, store, "test")
    assert found.C == C
    assert found.auc == pytest.approx(area(C, test)) == pytest.approx(np.mean(list(found.classes.values())))
    assert found.records == len(test) and 0 < found.low < found.auc < found.high <= 1


def test_what_can_be_read_is_read_and_noise_hides_it(model, store, monkeypatch):
    monkeypatch.setattr(module, "C_GRID", [0.1, 10.0])
    clean = probe(model, store, "validation")
    assert clean.classes["CD"] > 0.9
    noisy = probe(model, store, "validation", corrupt=lambda x: x + 20 * torch.randn(
        x.shape, generator=torch.Generator().manual_seed(0)))
    assert noisy.auc < clean.auc - 0.1 and noisy.C == clean.C


def test_validation_scores_choose_nothing(model, store, monkeypatch):
    """The records scored have no part in the choice of C."""
    seen = []
    monkeypatch.setattr(module, "C_GRID", [0.1])
    monkeypatch.setattr(module, "best_C", lambda scores, target: seen.append(len(target)) or 1.0)
    found = probe(model, store, "validation")
    assert seen == [sum(map(bool, map(len, store.records["superclass"].iloc[store.split("train")])))]
    assert found.C == 1.0


def test_cross_validation_keeps_patients_on_one_side(monkeypatch):
    """Features that tell patients apart, whose classes are random, must not be readable."""
    random = np.random.default_rng(1)
    people = np.repeat(np.arange(30), 4)
    x, y = np.eye(30)[people], (random.random((30, 2)) < 0.5)[people]
    scores, _ = module.cross_validated_scores(x, y, people)
    assert max(auc(y, table).mean() for table in scores) < 0.7
    within, _ = module.cross_validated_scores(x, y, np.arange(len(x)))
    assert max(auc(y, table).mean() for table in within) > 0.95


def test_interval_is_about_as_wide_as_theory_has_it():
    """Hanley and McNeil 1982: the variance of an area, which 95 % lie within 1.96 deviations of."""
    random = np.random.default_rng(0)
    true = np.arange(300)[:, None] % 2 == 1
    scores = true + random.normal(size=true.shape)
    area = auc(true, scores)[0]
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    deviation = np.sqrt((area * (1 - area) + 149 * (one - area**2) + 149 * (two - area**2)) / 150**2)
    expected = area + np.array([-1.96, 1.96]) * deviation
    np.testing.assert_allclose(bootstrap_interval(true, scores, 0), expected, atol=0.01)


def test_stores_without_labels(model, tmp_path):
    store = write_store(tmp_path / "store", np.zeros((2, 2, 50)), LEADS)
    with pytest.raises(ValueError, match="has no column superclass"):
        probe(model, store)


def test_records_that_the_encoder_was_trained_on_are_counted(model, store, monkeypatch):
    monkeypatch.setattr(module, "C_GRID", [0.1])
    known = TrainingRecords(measure_training_data(store, store.split("test"), model.signal).fingerprints)
    found = probe(model, store, "test", trained_on=known)
    assert found.seen_in_training == found.records
    assert probe(model, store, "test").seen_in_training is None
