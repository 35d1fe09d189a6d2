import numpy as np
import pytest
import scipy.linalg

from ecgvae import metrics


def rows(count: int, width: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, width)) @ random.normal(size=(width, width)) + random.normal(size=width)


def test_frechet_is_that_of_matrix_square_roots():
    a, b = rows(60, 6, 0), rows(90, 6, 1)
    covariances = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root.real)
    assert metrics.frechet(a, b) == pytest.approx(expected)
    assert metrics.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet(a, a + [3, 4, 0, 0, 0, 0]) == pytest.approx(25)


def test_frechet_of_fewer_rows_than_numbers():
    a, b = rows(7, 30, 0), rows(5, 30, 1)
    values, vectors = np.linalg.eigh(np.cov(a.T))
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ np.cov(b.T) @ root).clip(min=0)).sum()
    spread = np.trace(np.cov(a.T) + np.cov(b.T))
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + spread - 2 * shared
    assert metrics.frechet(a, b) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="two or more rows"):
        metrics.frechet(a[:1], b)
