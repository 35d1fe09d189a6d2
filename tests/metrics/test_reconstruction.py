import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgvae import metrics


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
