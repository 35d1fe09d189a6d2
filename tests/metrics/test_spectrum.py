import numpy as np
import pytest

from ecgvae import metrics


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 2, 500)) + 5.0
    return x, x + 0.3 * random.normal(size=x.shape)


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
