"""Linear classifiers of features, and bootstrap intervals of their AUC."""

import warnings
from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, Float

from ecgvae import metrics
from ecgvae.evaluation.generation.distances import Estimate

STRENGTHS = 10.0 ** np.arange(1, 7)         # of the ridge penalty, for standardized features
N_BOOTSTRAP = 500


def ridge_scores(x: Float[np.ndarray, "n d"], y: Bool[np.ndarray, "n k"], scored: Float[np.ndarray, "m d"]
                 ) -> Float[np.ndarray, "m k"]:
    """Scores of rows by a ridge regression on standardized features, as in MiniRocket (Dempster et al. 2021).

    The strength of the penalty is the one with the smallest leave-one-out error.

    Args:
        x: Features to fit.
        y: Whether each row has each class.
        scored: Features to score.
    """
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(STRENGTHS).fit(x, np.where(y, 1.0, -1.0))
    return fitted.predict(scored).reshape(len(scored), -1)


def macro_auc(target: Bool[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"]) -> float:
    """The AUC averaged over the classes that some, but not all, rows have; nan if there is no such class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)     # of a mean of no values
        return float(np.nanmean(metrics.auc(target, scores)))


def estimate_auc(target: Bool[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"], seed: int = 0) -> Estimate:
    """`macro_auc` with its bootstrap interval over rows."""
    return estimate_ratio(target, scores, None, seed)


def estimate_ratio(target: Bool[np.ndarray, "n k"], scores: Float[np.ndarray, "n k"],
                   others: Float[np.ndarray, "n k"] | None, seed: int = 0) -> Estimate:
    """The macro-AUC of scores divided by that of other scores of the same rows, with its bootstrap interval.

    Without other scores it is the macro-AUC alone.
    """
    def value(rows: np.ndarray) -> float:
        area = macro_auc(target[rows], scores[rows])
        return area if others is None else area / macro_auc(target[rows], others[rows])

    random, count = np.random.default_rng(seed), len(target)
    drawn = [value(random.integers(count, size=count)) for _ in range(N_BOOTSTRAP)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Estimate(value(np.arange(count)), float(low), float(high))


def as_json(estimates: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    """Estimates as dictionaries of their value, low and high."""
    return {name: asdict(estimate) for name, estimate in estimates.items()}
