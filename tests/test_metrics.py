from dataclasses import dataclass

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ecgvae import metrics


@dataclass(frozen=True)
class CodebookSpec:
    hop: int
    size: int


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 2, 500)) + 5.0
    return x, x + 0.3 * random.normal(size=x.shape)


def test_values_by_hand():
    x, y = [1.0, 3.0, 1.0, 3.0], [1.0, 3.0, 2.0, 3.0]
    assert metrics.prdn(x, y) == pytest.approx(50)  # ‖x − y‖ = 1, ‖x − 2‖ = 2
    assert metrics.rmse(x, y) == pytest.approx(0.5)
    assert metrics.snr(x, y) == pytest.approx(20 * np.log10(2))
    assert metrics.correlation(x, y) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_an_offset_does_not_flatter_prdn(pair):
    x, y = pair
    np.testing.assert_allclose(metrics.prdn(x + 1024, y + 1024), metrics.prdn(x, y), rtol=1e-9)


def test_every_lead_and_record_on_its_own(pair):
    x, y = pair
    for metric in (metrics.prdn, metrics.rmse, metrics.snr, metrics.correlation):
        values = metric(x, y)
        assert values.shape == (3, 2)
        assert values[1, 0] == pytest.approx(metric(x[1, 0], y[1, 0]))


def test_correlation_is_that_of_numpy(pair):
    x, y = (signals.reshape(6, -1) for signals in pair)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(metrics.correlation(x, y), expected)


def test_flat_leads_have_no_relative_error():
    flat = np.full(7, 0.1, dtype=np.float32)  # whose float64 mean is not exactly itself
    wave = np.arange(7.0)
    assert np.isnan(
        [metrics.prdn(flat, wave), metrics.snr(flat, wave), metrics.correlation(wave, flat)]
    ).all()
    assert np.isfinite(metrics.rmse(flat, wave))


def test_equal_signals_have_infinite_snr(pair):
    x, _ = pair
    assert np.isposinf(metrics.snr(x, x)).all()
    assert (metrics.prdn(x, x) == 0).all()


@pytest.mark.parametrize(("x", "y"), [((2, 5), (2, 6)), ((2, 5), (5,)), ((2, 0), (2, 0)), ((), ())])
def test_shapes_must_agree(x, y):
    with pytest.raises(ValueError, match="of one shape"):
        metrics.prdn(np.zeros(x), np.zeros(y))


def test_code_statistics():
    codes = np.array([[0, 0, 1], [1, 3, 0]])
    assert metrics.code_usage(codes, 4) == 0.75
    assert metrics.entropy(codes, 4) == pytest.approx(scipy.stats.entropy([3, 2, 1], base=2))
    assert metrics.perplexity(codes, 4) == pytest.approx(np.exp(scipy.stats.entropy([3, 2, 1])))
    assert metrics.perplexity(np.arange(512), 512) == pytest.approx(512)
    assert metrics.entropy([7, 7], 8) == 0


def test_no_codes():
    assert metrics.code_usage([], 4) == 0
    assert np.isnan(metrics.entropy([], 4))


@pytest.mark.parametrize("codes", [[-1, 0], [4]])
def test_codes_outside_the_codebook(codes):
    with pytest.raises(ValueError, match="codes from -?[0-4] to [0-4]; wanted 0 to 3"):
        metrics.code_usage(codes, 4)


def test_bits_per_second():
    codebooks = [CodebookSpec(8, 1024), CodebookSpec(8, 1024), CodebookSpec(32, 1000)]
    assert metrics.bits_per_second(codebooks, 100) == pytest.approx(12.5 * 10 * 2 + 3.125 * 10)
    assert metrics.bits_per_second(codebooks, 100, bits=[9, 8, 4]) == pytest.approx(12.5 * 17 + 12.5)
    with pytest.raises(ValueError):
        metrics.bits_per_second(codebooks, 100, bits=[9])


def test_summary_leaves_out_nan():
    values = [1.0, 2.0, float("nan"), 6.0]
    assert metrics.summary(values) == pytest.approx({"mean": 3.0, "median": 2.0, "p95": 5.6})
    assert np.isnan(list(metrics.summary([]).values())).all()


def welch(x: np.ndarray, rate: int) -> np.ndarray:
    """Welch's method written out: (records, leads, t) to the mean over records, one value a Hz."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(rate) / rate)
    windows = np.stack([x[..., start:start + rate] for start in range(0, x.shape[-1] - rate + 1, rate // 2)])
    power = np.abs(np.fft.rfft((windows - windows.mean(-1, keepdims=True)) * hann)) ** 2
    return power.mean(axis=(0, 1))


def test_spectrum_distance_is_that_of_spectra_written_out():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(5, 2, 700)), random.normal(size=(4, 2, 1000)).cumsum(-1)
    expected = np.abs(10 * np.log10(welch(y, 100)[:, 15:46] / welch(x, 100)[:, 15:46])).mean()
    assert metrics.spectrum_distance(x, y, 100) == pytest.approx(expected, rel=1e-6)
    assert metrics.spectrum_distance(x, y, 100, band=(1, 5)) == pytest.approx(
        np.abs(10 * np.log10(welch(y, 100)[:, 1:6] / welch(x, 100)[:, 1:6])).mean(), rel=1e-6)


def test_a_gain_is_its_decibels_in_the_leads_that_have_it(pair):
    x, _ = pair
    for gain in (2, 0.5):
        y = x * [[gain], [1]]
        assert metrics.spectrum_distance(x, y, 100) == pytest.approx(20 * np.log10(2) / 2)
    assert metrics.spectrum_distance(x, x[::-1], 100) == pytest.approx(0, abs=1e-9)


def test_power_of_a_sine_is_at_its_frequency():
    time = np.arange(1000) / 250
    power = metrics.power_spectrum(3 * np.sin(2 * np.pi * 20 * time), 250)
    assert power.shape == (126,) and power.argmax() == 20
    assert power.sum() == pytest.approx(3**2 / 2)
    assert metrics.power_spectrum(np.ones((2, 40)), 250).shape == (2, 126)      # shorter than a window


def test_leads_without_power_have_no_distance(pair):
    x, y = pair
    flat = x * [[1], [0]]
    assert metrics.spectrum_distance(flat, y, 100) == metrics.spectrum_distance(x[:, :1], y[:, :1], 100)
    assert metrics.spectrum_distance(y, flat, 100) == np.inf
    assert np.isnan(metrics.spectrum_distance(x[:, :0], y[:, :0], 100))


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


def test_auc_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    true = random.random((80, 3)) < [0.5, 0.2, 0.9]
    scores = np.round(true + random.normal(size=true.shape), 1)     # with ties
    expected = [roc_auc_score(*column) for column in zip(true.T, scores.T, strict=True)]
    np.testing.assert_allclose(metrics.auc(true, scores), expected)
    assert np.isnan(metrics.auc(np.ones((4, 1)), random.random((4, 1)))).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0, 1e4), st.integers(0, 2**32 - 1))
def test_moments_of_parts_add_up_to_those_of_the_whole(lengths, offset, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, sum(lengths))) + offset
    y = x + random.normal(size=x.shape)
    parts = [metrics.Moments.of(*signals) for signals in zip(*(np.split(signal, np.cumsum(lengths)[:-1], axis=1)
                                                               for signal in (x, y)), strict=True)]
    total = sum(parts[1:], parts[0])
    for one, other in ((total.prdn(), metrics.prdn(x, y)), (total.rmse(), metrics.rmse(x, y)),
                       (total.correlation(), metrics.correlation(x, y))):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    if x.shape[1] > 1:
        error = np.linalg.norm(x - y, axis=1) / np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=1)
        np.testing.assert_allclose(total.prdn(), 100 * error, rtol=1e-6)


@given(st.floats(-1e3, 1e3, width=32), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_flat_parts_of_one_value_stay_flat(value, lengths):
    parts = [metrics.Moments.of(np.full(length, value), np.arange(float(length))) for length in lengths]
    assert np.isnan(sum(parts[1:], parts[0]).prdn())
