from dataclasses import dataclass

import numpy as np
import pytest
import scipy.stats

from ecgvae import metrics


@dataclass(frozen=True)
class Stream:
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
def test_codes_outside_the_book(codes):
    with pytest.raises(ValueError, match="0 to 3 are wanted"):
        metrics.code_usage(codes, 4)


def test_bits_per_second():
    streams = [Stream(8, 1024), Stream(8, 1024), Stream(32, 1000)]
    assert metrics.bits_per_second(streams, 100) == pytest.approx(12.5 * 10 * 2 + 3.125 * 10)
    assert metrics.bits_per_second(streams, 100, bits=[9, 8, 4]) == pytest.approx(12.5 * 17 + 12.5)
    with pytest.raises(ValueError):
        metrics.bits_per_second(streams, 100, bits=[9])


def test_summary_leaves_out_nan():
    values = [1.0, 2.0, float("nan"), 6.0]
    assert metrics.summary(values) == pytest.approx({"mean": 3.0, "median": 2.0, "p95": 5.6})
    assert np.isnan(list(metrics.summary([]).values())).all()
