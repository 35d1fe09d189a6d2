import numpy as np
from sklearn.metrics import roc_auc_score

from ecgvae import metrics


def test_auc_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    true = random.random((80, 3)) < [0.5, 0.2, 0.9]
    scores = np.round(true + random.normal(size=true.shape), 1)     # with ties
    expected = [roc_auc_score(*column) for column in zip(true.T, scores.T, strict=True)]
    np.testing.assert_allclose(metrics.auc(true, scores), expected)
    assert np.isnan(metrics.auc(np.ones((4, 1)), random.random((4, 1)))).all()
