import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from ecgvae.signal import ratio, resample


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "up", "down"),
    [
        (500, 100, 1, 5),
        (360, 100, 5, 18),
        (100, 360, 18, 5),
        (257, 100, 100, 257),
        (128.5, 100, 200, 257),
        (62.4725, 100, 40000, 24989),
    ],
)
@pytest.mark.parametrize("samples", [1, 7, 1001])
def test_resampling_is_scipys_polyphase_filter(rate_in, rate_out, up, down, samples):
    x = np.random.default_rng(0).normal(size=(2, samples)).astype(np.float32)
    expected = resample_poly(x, up, down, axis=-1, window=("kaiser", 5.0), padtype="edge")
    resampled = resample(x, rate_in, rate_out)
    assert resampled.dtype == np.float32
    assert resampled.shape == (2, -(-samples * up // down))
    np.testing.assert_array_equal(resampled, expected)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(500, 100), (360, 100), (100, 500), (100, 250)])
def test_a_slow_wave_on_an_offset_keeps_its_shape_up_to_the_ends(rate_in, rate_out):
    def wave(rate):
        return 5 + np.sin(2 * np.pi * 3 * np.arange(round(4 * rate)) / rate)

    resampled = resample(wave(rate_in)[None], rate_in, rate_out)[0]
    np.testing.assert_allclose(
        resampled[rate_out // 4 : -rate_out // 4], wave(rate_out)[rate_out // 4 : -rate_out // 4], atol=0.01
    )
    assert np.abs(resampled - wave(rate_out)).max() < 0.2


def test_frequencies_above_the_new_nyquist_are_removed():
    tone = np.sin(2 * np.pi * 80 * np.arange(5000) / 500)[None]
    assert np.abs(resample(tone, 500, 100)[:, 50:-50]).max() < 0.01


def test_equal_rates_copy():
    x = np.ones((1, 3), dtype=np.float32)
    resampled = resample(x, 100, 100.0)
    resampled[:] = 0
    assert x.all()


def test_no_samples_stay_none():
    assert resample(np.zeros((3, 0)), 500, 100).shape == (3, 0)


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(0, 100), (1e-9, 100), (1e8, 100), (float("nan"), 100), (100, -1)]
)
def test_absurd_rates_are_refused(rate_in, rate_out):
    with pytest.raises(ValueError, match="wanted rates within a factor|wanted numbers above 0"):
        resample(np.zeros((1, 10)), rate_in, rate_out)


@settings(deadline=None, max_examples=100)
@given(st.floats(1, 2000), st.floats(20, 1000))
def test_any_two_rates_make_a_ratio_of_bounded_factors(rate_in, rate_out):
    if 1 / 200 <= rate_out / rate_in <= 200:
        factors = ratio(rate_in, rate_out)
        assert max(factors.up, factors.down) <= 50_000
        assert factors.up / factors.down == pytest.approx(rate_out / rate_in, rel=2e-5)


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([(360, 100), (500, 100), (100, 360), (1000, 128)]),
    st.integers(1, 6),
    st.integers(300, 700),
)
def test_a_block_with_its_halo_is_part_of_the_whole(rates, blocks, samples):
    factors = ratio(*rates)
    x = np.random.default_rng(samples).normal(size=(1, samples)).astype(np.float32)
    margin = -(-factors.halo // factors.down) * factors.down
    start = blocks * factors.down
    stop = min(start + 5 * factors.down, samples)
    first, last = max(0, start - margin), min(samples, stop + margin)
    offset, length = factors.length(start - first), factors.length(stop) - factors.length(start)
    block = resample(x[:, first:last], *rates)[:, offset : offset + length]
    whole = resample(x, *rates)
    np.testing.assert_array_equal(block, whole[:, factors.length(start) : factors.length(stop)])
