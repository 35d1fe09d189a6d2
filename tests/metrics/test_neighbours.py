"""Precision, recall, density, coverage and the clipped ones against their definitions written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, comb
from sklearn.neighbors import NearestNeighbors

from ecgvae.metrics import Neighbours, neighbours

K = 3


def sets(n: int = 40, m: int = 55, width: int = 4, shift: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(n, width)), random.normal(size=(m, width)) * 1.3 + shift


def prdc(real: np.ndarray, fake: np.ndarray, k: int) -> dict[str, float]:
    """Naeem et al. 2020, written out over full matrices, with the neighbours of scikit-learn."""
    radius, fake_radius = (NearestNeighbors(n_neighbors=k + 1).fit(rows).kneighbors(rows)[0][:, -1]
                           for rows in (real, fake))
    distance = np.array([[np.linalg.norm(x - y) for y in fake] for x in real])
    inside = distance < radius[:, None]
    return {"precision": inside.any(0).mean(), "recall": (distance < fake_radius).any(1).mean(),
            "density": inside.sum(0).mean() / k, "coverage": (distance.min(1) < radius).mean()}


def clipped(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    """Salvy et al. 2026, written out: clipped density, and clipped coverage before its calibration."""
    distance = np.array([[np.linalg.norm(x - y) for y in fake] for x in real])
    own = np.array([[np.linalg.norm(x - y) for y in real] for x in real])
    radius = np.sort(own, axis=1)[:, k]
    small = radius.clip(max=np.median(radius))
    np.fill_diagonal(own, np.inf)
    normal = ((own <= small[:, None]).sum(0) / k).clip(max=1).mean()
    density = ((distance <= small[:, None]).sum(0) / k).clip(max=1).mean() / normal
    nearest = np.sort(distance, axis=1)[:, :k]
    return min(1, density), (nearest < radius[:, None]).mean()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", [1, 100, neighbours.MAX_BLOCK_DISTANCES])
def test_metrics_are_those_of_their_definitions(seed, block, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_BLOCK_DISTANCES", block)
    real, fake = sets(seed=seed)
    comparison, expected = Neighbours.of(real, fake, K), prdc(real, fake, K)
    values = comparison.metrics()
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    density, coverage = clipped(real, fake, K)
    assert values["clipped_density"] == pytest.approx(density)
    assert comparison.clipped_coverage.mean() == pytest.approx(coverage)


def test_expected_coverage_is_that_of_the_sum_in_the_paper():
    n, m, k = 30, 25, 5
    expected = [sum(min(j, k) * comb(good, j) * np.exp(betaln(k + j, n + good - k - j) - betaln(k, n - k))
                    for j in range(good + 1)) / k for good in range(m + 1)]
    np.testing.assert_allclose(neighbours.expected_clipped_coverage(n, m, k), expected, atol=1e-10)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_clipped_metrics_are_the_share_of_good_rows(share):
    """The others are far away: the scores fall in proportion (Salvy et al. 2026, section 5)."""
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(2, 600, 5))
    fake[round(share * 600):] += 1000
    values = Neighbours.of(real, fake).metrics()
    assert values["clipped_density"] == pytest.approx(share, abs=0.06)
    assert values["clipped_coverage"] == pytest.approx(share, abs=0.1)


def test_one_outlier_of_the_real_rows_changes_only_the_metrics_that_are_known_for_it():
    real, fake = sets(200, 200, shift=8)
    fake = fake / 1.3
    before = Neighbours.of(real, fake).metrics()
    after = Neighbours.of(np.concatenate([real, np.full((1, 4), 8.0)]), fake).metrics()
    assert after["precision"] > 0.9 > 0.01 > before["precision"] and after["clipped_density"] < 0.01


def test_typical_rows_have_precision_and_no_recall():
    real, _ = sets(300, 300)
    values = Neighbours.of(real, real * 0.05).metrics()
    assert values["precision"] == 1 and values["density"] > 1 and values["recall"] < 0.05
    assert values["clipped_density"] == 1 and values["clipped_coverage"] < 0.2


def test_several_generated_sets_are_averaged():
    real, fake = sets(60, 90)
    parts = [Neighbours.of(real, part) for part in np.split(fake, 3)]
    mean = Neighbours.mean(parts).metrics()
    for name in ("precision", "recall", "density", "coverage"):
        assert mean[name] == pytest.approx(np.mean([part.metrics()[name] for part in parts]))
    assert Neighbours.mean(parts[:1]).metrics() == parts[0].metrics()


def test_resampled_rows_have_the_error_of_a_mean():
    real, fake = sets(400, 400)
    comparison, random = Neighbours.of(real, fake), np.random.default_rng(0)
    drawn = [comparison.resampled(random).metrics()["recall"] for _ in range(300)]
    share = comparison.metrics()["recall"]
    assert np.mean(drawn) == pytest.approx(share, abs=0.01)
    assert np.std(drawn) == pytest.approx(np.sqrt(share * (1 - share) / 400), rel=0.2)
    pair = comparison.resampled(random)
    assert not np.array_equal(pair.precision, comparison.precision) and pair.recall.shape == (400,)


@settings(deadline=None, max_examples=30)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_all_are_shares_for_sets_of_any_size(n, m, width, k, seed):
    values = Neighbours.of(*sets(n, m, width, seed=seed), k).metrics()
    assert all(0 <= values[name] <= 1 for name in values.keys() - {"density"}) and values["density"] >= 0


@pytest.mark.parametrize(("real", "fake", "message"), [
    (np.zeros((6, 2)), np.zeros((9, 2)), r"shape \(6, 2\); wanted finite rows \(n, d\), more than 6"),
    (np.full((9, 2), np.nan), np.zeros((9, 2)), "wanted finite rows"),
    (np.zeros((9, 2)), np.zeros((9, 3)), "widths 2 and 3; wanted equal ones"),
    (np.zeros(9), np.zeros((9, 3)), "wanted finite rows"),
])
def test_features_that_cannot_be_compared(real, fake, message):
    with pytest.raises(ValueError, match=message):
        Neighbours.of(real, fake)
