"""Linear classifiers of features, and what generated ECGs are worth to train them."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from ecgvae.evaluation.generation.linear import STRENGTHS, estimate_auc, estimate_ratio, macro_auc, ridge_scores
from ecgvae.evaluation.generation.utility import Labelled, utility


def draw(count: int, seed: int) -> Labelled:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 12))
    return Labelled(features, features[:, :3] + random.normal(0, 0.7, (count, 3)) > [0.3, 0.0, -0.3])


def test_scores_are_those_of_a_ridge_regression():
    train, held_out = draw(80, 0), draw(30, 1)
    scores = ridge_scores(train.features, train.labels, held_out.features)
    candidates = [Ridge(strength).fit(train.features, 2.0 * train.labels - 1).predict(held_out.features)
                  for strength in STRENGTHS]
    assert any(np.allclose(scores, candidate) for candidate in candidates)
    one = ridge_scores(train.features, train.labels[:, :1], held_out.features)
    assert one.shape == (len(held_out), 1)


def test_auc_leaves_out_classes_that_all_or_none_have():
    target = draw(60, 0).labels.copy()
    scores = np.random.default_rng(1).normal(size=target.shape)
    target[:, 1] = True
    expected = np.mean([roc_auc_score(target[:, column], scores[:, column]) for column in (0, 2)])
    assert macro_auc(target, scores) == pytest.approx(expected)
    assert np.isnan(macro_auc(np.ones((4, 2), bool), np.zeros((4, 2))))


def test_intervals_of_an_area_and_of_a_ratio():
    data, random = draw(300, 0), np.random.default_rng(2)
    good, poor = data.features[:, :3], data.features[:, :3] + random.normal(0, 1, data.labels.shape)
    area = estimate_auc(data.labels, good)
    assert area.low < area.value < area.high < area.low + 0.1 and area.value == macro_auc(data.labels, good)
    ratio = estimate_ratio(data.labels, poor, good)
    assert ratio.value == pytest.approx(macro_auc(data.labels, poor) / area.value) and ratio.high < 1
    same = estimate_ratio(data.labels, good, good)
    assert (same.low, same.value, same.high) == (1, 1, 1)


def test_real_ecgs_are_worth_as_much_as_real_ones_and_shuffled_labels_nothing():
    real, more, reference = draw(300, 0), draw(250, 1), draw(200, 2)
    values = utility(real, more, reference)
    assert 0.97 < values["ratio"].value < 1.03 and values["tstr"].value > 0.8 and values["trts"].value > 0.8
    order = np.random.default_rng(0).permutation(len(more))
    shuffled = utility(real, Labelled(more.features, more.labels[order]), reference)
    assert shuffled["tstr"].value < 0.65 and shuffled["trts"].value < 0.6 and shuffled["ratio"].high < 0.8
    assert shuffled["trtr"] == values["trtr"]


def test_as_many_ecgs_of_each_train_and_those_without_a_class_do_not():
    real, reference = draw(300, 0), draw(200, 2)
    assert all(row.any() for row in real.labels) and len(real) < 300
    small = draw(30, 1)
    limited = utility(real, small, reference)["trtr"].value
    assert limited < utility(real, real, reference)["trtr"].value
    with pytest.raises(ValueError, match="wanted 10 or more"):
        utility(real, Labelled(np.zeros((4, 12)), np.ones((4, 3), bool)), reference)
