import numpy as np
import pytest

from ecgvae import metrics


def test_summary_leaves_out_nan():
    values = [1.0, 2.0, float("nan"), 6.0]
    assert metrics.summary(values) == pytest.approx({"mean": 3.0, "median": 2.0, "p95": 5.6})
    assert np.isnan(list(metrics.summary([]).values())).all()
