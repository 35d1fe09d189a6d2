"""Distances between two sets of features: of real and of generated signals."""

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.metrics.arithmetic import energy


def frechet(a: ArrayLike, b: ArrayLike) -> float:
    """Fréchet distance between the Gaussians fitted to two sets of features (Heusel et al. 2017).

    |μa − μb|² + tr(Ca + Cb − 2 (Ca Cb)^½). With C = RᵀR the last trace is the sum of the singular values of Ra Rbᵀ,
    which also holds for fewer rows than columns. Few rows bias it upwards, so compare
    only distances for equal numbers of rows.

    Args:
        a: Features (n, d).
        b: Features (m, d).
    """
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    shared = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return float(max(0.0, energy(mean_a - mean_b) + np.sum(root_a**2) + np.sum(root_b**2) - 2 * shared))


def _gaussian(rows: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) of rows, and a matrix R such that RᵀR is their covariance."""
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"features of shape {rows.shape}; wanted two or more rows (n, d)")
    mean = rows.mean(axis=0)
    return mean, np.linalg.qr(rows - mean, mode="r") / np.sqrt(len(rows) - 1)
