"""Feature spaces, and distances between equal numbers of features."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from ecgvae import metrics
from ecgvae.evaluation.generation import distances, spaces
from ecgvae.evaluation.generation.distances import compare_features, equal_parts
from ecgvae.evaluation.generation.spaces import FeatureSpace
from ecgvae.metrics import Neighbours


def test_a_space_has_standardized_principal_components(monkeypatch):
    monkeypatch.setattr(spaces, "DIMENSIONS", 4)
    features = np.random.default_rng(0).uniform(size=(50, 7)) * [1, 1, 5, 1, 1, 1, 0] + 3
    space = FeatureSpace.fit(features)
    standardized = space.standardize(features)
    np.testing.assert_allclose(standardized[:, :6].std(0), 1)
    assert (standardized[:, 6] == 0).all()
    expected = PCA(4).fit_transform(standardized)
    np.testing.assert_allclose(np.abs(space.project(features)), np.abs(expected), atol=1e-6)
    assert FeatureSpace.fit(features[:3]).axes.shape == (7, 2)
    with pytest.raises(ValueError, match="2 training records; wanted 3 or more"):
        FeatureSpace.fit(features[:2])


def test_an_extreme_feature_is_clipped():
    features = np.random.default_rng(0).normal(size=(50, 3))
    space = FeatureSpace.fit(features)
    assert space.standardize(np.array([[1e9, -1e9, 0]]))[0, :2].tolist() == [3, -3]


def test_parts_are_different_rows():
    rows = np.arange(100)[:, None]
    parts = list(equal_parts(rows, 30, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [30] * 3 and len({int(row) for part in parts for row in part[:, 0]}) == 90
    assert len(list(equal_parts(rows, 1, np.random.default_rng(0)))) == distances.MAX_PARTS


def test_one_part_has_the_metrics_of_the_rows():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(60, 3)), random.normal(0.5, 1, (60, 3))
    estimates = compare_features(real, fake, 60)
    expected = {"frechet": metrics.frechet(real, fake), **Neighbours.of(real, fake).metrics()}
    assert {name: estimate.value for name, estimate in estimates.items()} == pytest.approx(expected)
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in estimates.values())
    assert compare_features(real, fake, 60) == estimates


def test_several_parts_have_the_mean():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(40, 3)), random.normal(size=(120, 3))
    estimates = compare_features(real, fake, 40)
    parts = list(equal_parts(fake, 40, np.random.default_rng(0)))
    assert estimates["frechet"].value == pytest.approx(np.mean([metrics.frechet(real, part) for part in parts]))
    assert estimates["recall"].value == pytest.approx(np.mean([Neighbours.of(real, part).metrics()["recall"]
                                                               for part in parts]))
    with pytest.raises(ValueError, match="40 and 120 records; wanted 41 or more of each"):
        compare_features(real, fake, 41)


def test_intervals_cover_the_truth():
    """In 40 repetitions the interval of precision misses the mean over them in few."""
    random = np.random.default_rng(1)
    real = random.normal(size=(80, 2))
    estimates = [Neighbours.of(real, random.normal(1, 1, (80, 2))) for _ in range(40)]
    truth = np.mean([item.metrics()["precision"] for item in estimates])
    covered = 0
    for item in estimates:
        drawn = [item.resampled(random).metrics()["precision"] for _ in range(100)]
        low, high = np.percentile(drawn, [2.5, 97.5])
        covered += low <= truth <= high
    assert covered >= 33
