"""Augmentation of training signals, and reconstruction losses."""

import math

import numpy as np
import pytest
import torch

from ecgvae import metrics
from ecgvae.training import objectives
from ecgvae.training.augment import augment, stretch_time
from ecgvae.training.recipe import AugmentSettings

# --- augmentations


def signals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def augmented(x, **settings):
    before = x.clone()
    first, second = (augment(x, AugmentSettings(**settings), torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second) and torch.equal(x, before) and first.shape == x.shape
    return first


def test_without_augmentation_nothing_changes():
    x = signals(3, 8, 100)
    assert torch.equal(augmented(x), x)


def test_gain_is_one_number_a_record():
    x = signals(500, 4, 9)
    ratio = augmented(x, gain=0.3) / x
    assert (ratio - ratio[:, :1, :1]).abs().max() < 1e-4
    logs = ratio[:, 0, 0].log()
    assert logs.std() == pytest.approx(0.3, rel=0.1) and abs(logs.mean()) < 0.05


def test_mixing_gives_each_lead_a_little_of_each():
    x = signals(200, 3, 50)
    mixing_matrix = torch.linalg.lstsq(x.mT, augmented(x, mixing=0.1).mT).solution - torch.eye(3)
    torch.testing.assert_close(x + mixing_matrix.mT @ x, augmented(x, mixing=0.1))
    assert mixing_matrix.std() == pytest.approx(0.1, rel=0.1)
    assert mixing_matrix.abs().amin((1, 2)).max() < 0.1 and mixing_matrix.std(0).min() > 0.07


@pytest.mark.parametrize("factor", [0.6, 0.93, 1.0, 1.07, 1.4])
@pytest.mark.parametrize("length", [64, 1000])
def test_a_stretched_signal_is_played_slower(factor, length):
    def wave(time):
        return torch.sin(2 * math.pi * time / 100)
    x = wave(torch.arange(length).double()).expand(2, 1, -1)
    out = stretch_time(x, factor)
    assert out.shape == x.shape
    kept = min(length, round(length * factor))
    time = (torch.arange(kept).double() + 0.5) / factor - 0.5
    torch.testing.assert_close(out[0, 0, 2:kept - 2], wave(time)[2:-2], atol=0.06, rtol=0)    # of whole samples
    torch.testing.assert_close(out[..., kept:], out[..., :kept].flip(-1)[..., 1:length - kept + 1])


@pytest.mark.parametrize("factor", [0.95, 0.98, 1.03, 1.1])
def test_stretching_keeps_high_frequencies(factor):
    """A sine of 80 % of the Nyquist frequency is the sine of the changed frequency, of the same amplitude."""
    time = torch.arange(1000, dtype=torch.double)
    x = torch.sin(0.8 * torch.pi * time)
    out = stretch_time(x.view(1, 1, -1), factor).flatten()
    wanted = torch.sin(0.8 * torch.pi * ((time + 0.5) / factor - 0.5))
    inner = slice(20, int(1000 * min(factor, 1)) - 20)      # without the ends and what is mirrored
    torch.testing.assert_close(out[inner], wanted[inner], atol=0.01, rtol=0)


def test_stretch_stays_within_its_bounds():
    factors = set()
    for seed in range(40):
        x = torch.arange(1000.).expand(1, 1, -1)
        out = augment(x, AugmentSettings(stretch=0.2), torch.Generator().manual_seed(seed))
        factors.add(round(1 / float(out[0, 0, 400] - out[0, 0, 399]), 2))
    assert 0.79 <= min(factors) < 0.9 and 1.1 < max(factors) <= 1.21


# --- objectives


def pair():
    x = np.random.default_rng(0).normal(size=(4, 3, 300)).cumsum(-1) / 5
    return x, x + np.random.default_rng(1).normal(size=x.shape) / 10


def computed(term, x, y):
    return term(torch.from_numpy(x), torch.from_numpy(y)).numpy()


def test_prdn_is_that_of_the_report():
    x, y = pair()
    np.testing.assert_allclose(computed(objectives.prdn, x, y), metrics.prdn(x, y).mean(1) / 100, rtol=1e-4)
    np.testing.assert_allclose(computed(objectives.prdn, x + 5, y + 5), computed(objectives.prdn, x, y))


def test_derivative_is_the_relative_error_of_differences():
    x, y = pair()
    error, size = np.diff(x - y), np.diff(x)
    expected = np.sqrt((error**2).mean(-1) / (size**2).mean(-1)).mean(1)
    np.testing.assert_allclose(computed(objectives.derivative, x, y), expected, rtol=1e-3)


def magnitudes(x, size):
    """Short-time spectra by numpy: Hann windows a quarter apart, the signal mirrored at its ends."""
    padded = np.pad(x, ((0, 0), (0, 0), (size // 2, size // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)[..., ::size // 4, :]
    return np.abs(np.fft.rfft(frames * np.hanning(size + 1)[:-1]))


def test_spectral_is_the_relative_error_of_magnitudes():
    x, y = pair()
    expected = []
    for size in objectives.STFT_SIZES:
        of_x, of_y = magnitudes(x, size), magnitudes(y, size)
        expected.append(np.sqrt(((of_x - of_y)**2).mean((2, 3)) / (of_x**2).mean((2, 3))).mean(1))
    np.testing.assert_allclose(computed(objectives.spectral, x, y), np.mean(expected, 0), rtol=1e-3)


@pytest.mark.parametrize("name", objectives.TERMS)
def test_a_term_is_finite_for_flat_signals_and_smallest_without_error(name):
    term, x = objectives.TERMS[name], torch.from_numpy(pair()[0])
    for true in (x, torch.zeros(2, 3, 100).double()):
        for other in (true.clone(), torch.zeros_like(true), true + 1):
            other.requires_grad_()
            value = term(true, other)
            assert value.shape == (len(true),) and value.isfinite().all()
            assert torch.autograd.grad(value.sum(), other)[0].isfinite().all()
    assert 0 < term(x, x).max() < 0.01 < term(x, 0.9 * x).min() < term(x, 0.5 * x).min()


def test_losses_are_means_of_logarithms_over_groups():
    x, y = pair()
    weights = {"prdn": 1, "derivative": 0.5, "spectral": 0}
    losses = objectives.reconstruction_losses(torch.from_numpy(x), torch.from_numpy(y), weights, groups=3)
    assert set(losses) == {"prdn", "derivative"}
    errors = computed(objectives.prdn, x, y)
    groups = [errors[[0, 3]].mean(), errors[1], errors[2]]
    assert float(losses["prdn"]) == pytest.approx(np.log(groups).mean())
    fewer_items_than_groups = objectives.group_mean_log(torch.from_numpy(errors[:2]), groups=8)
    assert float(fewer_items_than_groups) == pytest.approx(np.log(errors[:2]).mean())
    percent = objectives.error_percent(losses["prdn"])
    assert float(percent) == pytest.approx(100 * np.prod(groups) ** (1 / 3))     # the geometric mean
