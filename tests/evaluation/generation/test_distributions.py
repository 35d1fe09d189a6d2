import numpy as np
import pytest
from scipy.stats import ks_2samp, norm

from ecgvae.evaluation.generation.distributions import compare_distributions, estimate_ks, estimate_median_ratio


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


def test_intervals_of_distances_hold_the_truth_and_shrink():
    random = np.random.default_rng(0)
    real, generated = random.normal(size=400), random.normal(0.5, size=300)
    few = estimate_ks(real[:60], generated[:60])
    many = estimate_ks(np.append(real, np.nan), generated)
    truth = 2 * norm.cdf(0.25) - 1
    assert many.value == pytest.approx(ks_2samp(real, generated).statistic)
    assert few.low < truth < few.high and many.low < truth < many.high
    assert many.high - many.low < few.high - few.low
    assert np.isnan([estimate_ks([np.nan], real).value, estimate_median_ratio([np.nan], real).value]).all()


def test_ratio_of_medians():
    random = np.random.default_rng(0)
    real, generated = random.lognormal(size=200), 2 * random.lognormal(size=300)
    ratio = estimate_median_ratio(np.append(real, np.nan), generated)
    assert ratio.value == np.median(generated) / np.median(real)
    assert 1.2 < ratio.low < 2 < ratio.high < 3.5
    assert np.isnan(estimate_median_ratio([0, 0, 1], generated).value)
