import numpy as np
import pytest
from scipy.stats import ks_2samp

from ecgvae.evaluation.generation.distributions import compare_distributions


def test_distance_is_that_of_scipy_without_missing_values():
    random = np.random.default_rng(0)
    real, generated = random.normal(size=100), random.normal(0.5, size=70)
    result = compare_distributions(np.append(real, np.nan), np.append(generated, [np.nan, np.inf]))
    assert result.ks == pytest.approx(ks_2samp(real, generated).statistic)
    assert (result.real_values, result.generated_values) == (100, 70)
    assert (result.real_median, result.generated_median) == (np.median(real), np.median(generated))


def test_no_values():
    result = compare_distributions([np.nan], [1, 2, 3])
    assert np.isnan([result.ks, result.real_median]).all()
    assert (result.real_values, result.generated_median) == (0, 2)
