"""Metrics of classifiers."""

import numpy as np
from numpy.typing import ArrayLike

from ecgvae.metrics.arithmetic import ratio


def auc(true: ArrayLike, scores: ArrayLike) -> np.ndarray:
    """Area under the ROC curve of each class: (n, k) -> (k,); nan for a class that all rows have, or none.

    It is computed as the Mann-Whitney statistic, in which ties count half.

    Args:
        true: Whether each row has each class.
        scores: Scores that are higher for rows that have the class.
    """
    from scipy.stats import rankdata

    true = np.asarray(true, dtype=bool)
    positive, negative = true.sum(axis=0), (~true).sum(axis=0)
    above = np.sum(rankdata(scores, axis=0) * true, axis=0) - positive * (positive + 1) / 2
    return ratio(above, positive * negative)
