"""Fidelity and diversity of generated features by nearest neighbours: how much of each set lies among the other.

Every metric is a mean over the rows of one set. `Neighbours` has what each row contributes, so that rows can be
resampled without new distances.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

K = 5                           # neighbours that give a ball its radius (Naeem et al. 2020)
MAX_BLOCK_DISTANCES = 1 << 21   # that are in memory at once (16 MiB)
OF_GENERATED = ("precision", "density", "clipped_density")      # the metrics that are means over generated rows
OF_REAL = ("recall", "coverage", "clipped_coverage")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What each row contributes to the metrics of n real and m generated rows.

    Each row has a ball that reaches to its k-th nearest neighbour in its own set.

    Attributes:
        precision: Whether each generated row (m,) is in the ball of a real one (Kynkäänniemi et al. 2019).
        recall: Whether each real row (n,) is in the ball of a generated one.
        density: Number of real balls, divided by k, that each generated row (m,) is in (Naeem et al. 2020).
        coverage: Whether the ball of each real row (n,) has a generated row in it.
        clipped_density: As density, at most 1, with no real ball larger than the median one (Salvy et al. 2026),
            divided by its mean over the real rows themselves.
        clipped_coverage: Number of generated rows, at most k, divided by k, in the ball of each real row (n,).
        expected_coverage: The mean of `clipped_coverage` to expect if 0, 1, ..., m of the m rows were real.
    """

    precision: np.ndarray
    recall: np.ndarray
    density: np.ndarray
    coverage: np.ndarray
    clipped_density: np.ndarray
    clipped_coverage: np.ndarray
    expected_coverage: np.ndarray

    @classmethod
    def of(cls, real: ArrayLike, generated: ArrayLike, k: int = K) -> "Neighbours":
        """The contributions of the rows of features.

        Args:
            real: Features (n, d).
            generated: Features (m, d).
            k: Number of neighbours.

        Raises:
            ValueError: The features have different widths, are not finite, or a set has not more than k + 1 rows.
        """
        x, y = _features(real, k), _features(generated, k)
        if x.shape[1] != y.shape[1]:
            raise ValueError(f"features of widths {x.shape[1]} and {y.shape[1]}; wanted equal ones")
        real_radii, generated_radii = radii(x, k), radii(y, k)
        clipped_radii = np.minimum(real_radii, np.median(real_radii))
        own_balls = count_balls(x, x, clipped_radii, inclusive=True) - 1        # without that of the row itself
        normal = np.minimum(own_balls / k, 1).mean()
        balls, clipped_balls = count_balls(y, x, real_radii), count_balls(y, x, clipped_radii, inclusive=True)
        inside = count_inside(x, y, real_radii)
        return cls(balls > 0, count_balls(x, y, generated_radii) > 0, balls / k, inside > 0,
                   np.minimum(clipped_balls / k, 1) / normal, np.minimum(inside, k) / k,
                   expected_clipped_coverage(len(x), len(y), k))

    @classmethod
    def mean(cls, comparisons: Sequence["Neighbours"]) -> "Neighbours":
        """The contributions of several generated sets of one size, each compared with the same real rows.

        Those of generated rows are joined, those of each real row are averaged.
        """
        joined = {name: np.concatenate([getattr(item, name) for item in comparisons]) for name in OF_GENERATED}
        averaged = {name: np.mean([getattr(item, name) for item in comparisons], axis=0) for name in OF_REAL}
        return cls(**joined, **averaged, expected_coverage=comparisons[0].expected_coverage)

    def metrics(self) -> dict[str, float]:
        """Each metric by its name. The clipped ones are from 0 to 1, the share of good rows."""
        means = {name: float(np.mean(getattr(self, name))) for name in OF_GENERATED + OF_REAL}
        return {**means, "clipped_density": min(1.0, means["clipped_density"]),
                "clipped_coverage": self._calibrated(means["clipped_coverage"])}

    def resampled(self, random: np.random.Generator) -> "Neighbours":
        """Rows drawn with replacement from each set, with what they contribute to this comparison."""
        drawn = {names: random.integers(len(getattr(self, names[0])), size=len(getattr(self, names[0])))
                 for names in (OF_GENERATED, OF_REAL)}
        rows = {name: getattr(self, name)[indices] for names, indices in drawn.items() for name in names}
        return Neighbours(**rows, expected_coverage=self.expected_coverage)

    def _calibrated(self, coverage: float) -> float:
        """The share of real rows that is expected to give a mean clipped coverage (Salvy et al. 2026)."""
        shares = np.linspace(0, 1, len(self.expected_coverage))
        return float(np.interp(coverage, self.expected_coverage, shares))


def radii(rows: np.ndarray, k: int) -> np.ndarray:
    """The distance (n,) from each row to its k-th nearest other row."""
    return np.concatenate([np.partition(block, k, axis=1)[:, k] for _, block in _distances(rows, rows)])


def count_balls(rows: np.ndarray, centres: np.ndarray, radius: np.ndarray, inclusive: bool = False) -> np.ndarray:
    """The number (rows,) of balls that each row is in; on their surfaces too if `inclusive`."""
    compare = np.less_equal if inclusive else np.less
    return np.concatenate([compare(block, radius).sum(axis=1) for _, block in _distances(rows, centres)])


def count_inside(centres: np.ndarray, rows: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The number (centres,) of rows in each ball, without its surface."""
    return np.concatenate([(block < radius[part, None]).sum(axis=1) for part, block in _distances(centres, rows)])


def expected_clipped_coverage(n: int, m: int, k: int) -> np.ndarray:
    """The clipped coverage (m + 1,) to expect of 0 to m rows that are drawn as the n real ones are.

    The probability of a ball is Beta(k, n − k), so that the number of j rows in it is beta-binomial; the expectation
    of its minimum with k, divided by k, is 1 − Σ_(i<k) (1 − i/k) P(i) (Salvy et al. 2026, f_coverage).
    """
    from scipy.stats import betabinom

    counts = np.arange(m + 1)
    return 1 - sum((1 - i / k) * betabinom.pmf(i, counts, k, n - k) for i in range(k))


def _distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The distances of rows of a to all rows of b, block by block: the block's rows, and its distances."""
    from scipy.spatial.distance import cdist

    size = max(1, MAX_BLOCK_DISTANCES // len(b))
    for start in range(0, len(a), size):
        yield slice(start, start + size), cdist(a[start:start + size], b)


def _features(rows: ArrayLike, k: int) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    if rows.ndim != 2 or len(rows) <= k + 1 or not np.isfinite(rows).all():
        raise ValueError(f"features of shape {rows.shape}; wanted finite rows (n, d), more than {k + 1}")
    return rows
