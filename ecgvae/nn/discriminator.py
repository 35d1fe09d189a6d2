"""Small convolutional discriminators of waveforms and of short-time spectra, for adversarial training."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

POOLING_FACTORS = (1, 2, 4)     # samples averaged into one
STFT_SIZES = (16, 64)           # samples of a short-time spectrum
MIN_SAMPLES = max(STFT_SIZES)   # of a signal
MAGNITUDE_FLOOR = 0.02          # below which the logarithm of a magnitude levels out


class AveragePool(nn.Module):
    """The waveform at a lower rate: the mean of every `factor` samples."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c n"]:
        return F.avg_pool1d(x, self.factor)


class LogSpectrogram(nn.Module):
    """Logarithms of short-time magnitudes, in which weak high frequencies are visible."""

    fourier_basis: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        basis = torch.fft.rfft(torch.diag(torch.hann_window(size))) / size**0.5     # (t, f)
        self.register_buffer("fourier_basis", torch.cat([basis.real, basis.imag], 1), persistent=False)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c n f"]:
        """Multiplies by a windowed Fourier basis: at sizes this small that is faster than a Fourier transform."""
        with torch.autocast(x.device.type, enabled=False):      # bfloat16 would lose high frequencies
            real, imaginary = (x.float().unfold(-1, self.size, self.size // 4) @ self.fourier_basis).chunk(2, -1)
            return 0.5 * (real.square() + imaginary.square() + MAGNITUDE_FLOOR**2).log() + 1


class Discriminator(nn.Module):
    """Convolutions over one view of the signal; the last gives a logit for each patch, high for real ECG."""

    def __init__(self, view: nn.Module, convolutions: list[nn.Module]):
        super().__init__()
        self.view = view
        self.convolutions = nn.ModuleList(map(weight_norm, convolutions))

    def forward(self, x: Float[Tensor, "b c t"]) -> list[Tensor]:
        maps: list[Tensor] = []
        x = self.view(x)
        for convolution in self.convolutions:
            x = convolution(F.leaky_relu(x, 0.2) if maps else x)
            maps.append(x)
        return maps


def waveform_discriminator(leads: int, width: int, pooling: int) -> Discriminator:
    """Strided convolutions over time, with leads as channels (MelGAN: Kumar et al. 2019)."""
    return Discriminator(AveragePool(pooling), [
        nn.Conv1d(leads, width, 7, padding=3),
        nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
        nn.Conv1d(2 * width, 2 * width, 5, stride=2, padding=2),
        nn.Conv1d(2 * width, 1, 3, padding=1),
    ])


def spectrum_discriminator(leads: int, width: int, size: int) -> Discriminator:
    """Convolutions over time and frequency (UnivNet: Jang et al. 2021)."""
    return Discriminator(LogSpectrogram(size), [
        nn.Conv2d(leads, width, 3, stride=(2, 1), padding=1),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.Conv2d(width, 1, 3, padding=1),
    ])


class Discriminators(nn.ModuleList):
    """Discriminators of the waveform at several scales and of its spectrum at several resolutions."""

    def __init__(self, leads: int, width: int):
        super().__init__([*(waveform_discriminator(leads, width, pooling) for pooling in POOLING_FACTORS),
                          *(spectrum_discriminator(leads, width, size) for size in STFT_SIZES)])

    def forward(self, x: Float[Tensor, "b c t"]) -> list[list[Tensor]]:
        """The feature maps of every discriminator, the last of each being its logits."""
        if x.shape[-1] < MIN_SAMPLES:
            raise ValueError(f"a signal of {x.shape[-1]} samples; the discriminators want {MIN_SAMPLES} or more")
        return [discriminator(x) for discriminator in self]
