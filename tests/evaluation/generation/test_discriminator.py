"""The discriminator of real and generated features, and the choice of its records."""

from collections import Counter

import numpy as np
import pytest

from ecgvae.evaluation.generation import discriminator
from ecgvae.evaluation.generation.discriminator import discriminate, discriminate_sets, matched_rows


def features(count: int, shift: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 20)) + shift


def test_equal_distributions_cannot_be_told_apart_and_others_can():
    groups = np.arange(200), np.arange(200) + 1000
    same = discriminate(features(200, 0, 0), features(200, 0, 1), *groups)
    assert same.low < 0.5 < same.high and 0.4 < same.value < 0.6
    some = discriminate(features(200, 0, 0), features(200, 0.15, 1), *groups)
    assert 0.55 < some.value < 0.9
    assert discriminate(features(200, 0, 0), features(200, 2, 1), *groups).value > 0.999


def test_a_group_is_in_one_fold(monkeypatch):
    """A generated record that is all but a copy of a real one is held out together with it."""
    seen = []

    def scores(x, y, scored):
        seen.append(({int(row[0]) // 2 for row in x}, {int(row[0]) // 2 for row in scored}))
        return np.zeros((len(scored), 1))

    monkeypatch.setattr(discriminator, "ridge_scores", scores)
    real = np.arange(40.0)[:, None]
    discriminate(real, real, np.arange(40) // 2, np.arange(40) // 2)
    assert len(seen) == 5 and not any(train & held_out for train, held_out in seen)


def test_matched_rows_have_the_same_labels(draw_set):
    real, generated = draw_set(60, 0), draw_set(90, 1).take(np.arange(30, 80))
    rows = matched_rows(real, generated)
    chosen = [Counter(map(tuple, ecgs.labels[own].tolist())) for ecgs, own in zip((real, generated), rows, strict=True)]
    assert chosen[0] == chosen[1] and sum(chosen[0].values()) > 35
    assert all(len(set(own.tolist())) == len(own) for own in rows)


def test_unlabelled_rows_are_drawn_at_random(draw_set, monkeypatch):
    from dataclasses import replace

    real, generated = draw_set(60, 0), replace(draw_set(90, 1), labels=None)
    assert [len(set(own.tolist())) for own in matched_rows(real, generated)] == [60, 60]
    monkeypatch.setattr(discriminator, "MAX_RECORDS", 7)
    assert [len(own) for own in matched_rows(real, generated)] == [7, 7]
    assert [len(own) for own in matched_rows(real, draw_set(90, 1))] == [7, 7]


def test_few_records_are_chosen_several_times(draw_set, monkeypatch):
    real, generated = draw_set(60, 0), draw_set(300, 1)
    values = features(60, 0, 0), features(300, 0.3, 1)
    monkeypatch.setattr(discriminator, "MAX_RECORDS", 180)
    monkeypatch.setattr(discriminator, "MAX_CHOICES", 5)
    choices = []
    for seed in range(5, 8):
        rows = matched_rows(real, generated, seed)
        choices.append(discriminate(values[0][rows[0]], values[1][rows[1]], real.groups[rows[0]],
                                    generated.groups[rows[1]], seed))
    mean = discriminate_sets((real, generated), values, 5)
    assert [mean.value, mean.low, mean.high] == pytest.approx(np.mean([[one.value, one.low, one.high]
                                                                       for one in choices], axis=0))
    assert len({one.value for one in choices}) == 3


def test_sets_without_common_labels_are_not_matched(draw_set):
    from dataclasses import replace

    real, generated = draw_set(20, 0), replace(draw_set(9, 1), labels=np.ones((9, 5), bool))
    assert [len(own) for own in matched_rows(real, generated)] == [9, 9]


def test_too_few_records():
    with pytest.raises(ValueError, match="4 real and 9 generated records; wanted 5 or more of each"):
        discriminate(features(4, 0, 0), features(9, 0, 1), np.arange(4), np.arange(9))
