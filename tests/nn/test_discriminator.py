"""Discriminators: the spectra they use, gradients at any length and in bfloat16, and their cost."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecgvae.models import build
from ecgvae.nn.discriminator import MAGNITUDE_FLOOR, STFT_SIZES, Discriminators, LogSpectrogram


@pytest.fixture
def discriminators() -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(3, 4)


@pytest.mark.parametrize("size", STFT_SIZES)
def test_the_spectrogram_equals_the_logarithm_of_scipys(size):
    x = np.random.default_rng(0).normal(size=(2, 3, 150)).astype(np.float32)
    window = scipy.signal.windows.hann(size, sym=False)
    transform = scipy.signal.ShortTimeFFT(window, hop=size // 4, fs=1)
    n_frames = (150 - size) // (size // 4) + 1     # frames that lie within the signal
    frames = transform.stft(x.astype(float), p0=2, p1=2 + n_frames)
    expected = np.log(np.hypot(np.abs(frames) / size**0.5, MAGNITUDE_FLOOR)) + 1
    with torch.autocast("cpu", torch.bfloat16):
        spectrogram = LogSpectrogram(size)(torch.from_numpy(x))
    np.testing.assert_allclose(spectrogram.numpy(), expected.swapaxes(-1, -2), atol=1e-4)


@pytest.mark.parametrize("length", [64, 65, 97, 1000])
def test_every_discriminator_returns_maps_and_logits_at_any_length(discriminators, length):
    all_maps = discriminators(torch.randn(2, 3, length))
    assert len(all_maps) == 5
    for maps in all_maps:
        assert len(maps) > 2 and maps[-1].shape[1] == 1
        assert all(len(item) == 2 and item.numel() and item.isfinite().all() for item in maps)


def test_shorter_signals_are_refused(discriminators):
    with pytest.raises(ValueError, match="a signal of 63 samples; the discriminators want 64 or more"):
        discriminators(torch.randn(2, 3, 63))


def test_all_parameters_and_the_signal_get_a_gradient_in_bfloat16(discriminators):
    x = torch.randn(2, 3, 200, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits = [maps[-1] for maps in discriminators(x)]
    assert {item.dtype for item in logits} == {torch.bfloat16}
    sum(item.float().square().sum() for item in logits).backward()
    for name, parameter in discriminators.named_parameters():
        assert parameter.grad.isfinite().all() and parameter.grad.any(), name
    assert x.grad.isfinite().all() and x.grad.any(1).float().mean() > 0.9


def test_a_flat_signal_gives_finite_gradients(discriminators):
    x = torch.zeros(1, 3, 100, requires_grad=True)
    sum(maps[-1].sum() for maps in discriminators(x)).backward()
    assert x.grad.isfinite().all()


def test_discriminators_cost_less_than_a_tenth_of_the_small_autoencoder():
    from ecgvae.models.vqvae import VQVAESettings

    def count_flops(module, x):
        with FlopCounterMode(display=False) as counter:
            module(x)
        return counter.get_total_flops()

    x = torch.randn(1, 8, 1000)
    model = build(VQVAESettings(codebooks=1, codebook_size=2)).eval()
    assert count_flops(Discriminators(8, 16), x) < 0.1 * count_flops(lambda x: model.decode(model.encode(x)), x)
