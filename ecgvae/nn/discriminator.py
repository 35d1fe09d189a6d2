"""Small convolutional judges of waveforms and of short-time spectra, for adversarial training."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

POOLINGS = (1, 2, 4)    # samples averaged into one
SIZES = (16, 64)        # samples of a short-time spectrum
SHORTEST = 64           # samples of a signal: the longest spectrum's
FLOOR = 0.02            # of a magnitude, below which its logarithm levels out


class Pooled(nn.Module):
    """The waveform, `pooling` samples averaged into one."""

    def __init__(self, pooling: int):
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c n"]:
        return F.avg_pool1d(x, self.pooling)


class Spectrum(nn.Module):
    """Logarithms of short-time magnitudes, which show what little there is at high frequencies."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        waves = torch.fft.rfft(torch.diag(torch.hann_window(size))) / size**0.5     # (t, f)
        self.register_buffer("waves", torch.cat([waves.real, waves.imag], 1), persistent=False)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c n f"]:
        """By a product with windowed waves: for sizes this small it is faster than a Fourier transform."""
        with torch.autocast(x.device.type, enabled=False):      # bfloat16 would bury high frequencies
            real, imaginary = (x.float().unfold(-1, self.size, self.size // 4) @ self.waves).chunk(2, -1)
            return 0.5 * (real.square() + imaginary.square() + FLOOR**2).log() + 1


class Discriminator(nn.Module):
    """Convolutions over one view of the signal; the last gives logits, a patch each, high for real ECG."""

    def __init__(self, view: nn.Module, convolutions: list[nn.Module]):
        super().__init__()
        self.view = view
        self.convolutions = nn.ModuleList(map(weight_norm, convolutions))

    def forward(self, x: Float[Tensor, "b c t"]) -> list[Tensor]:
        x, maps = self.view(x), []
        for convolution in self.convolutions:
            x = convolution(F.leaky_relu(x, 0.2) if maps else x)
            maps.append(x)
        return maps


def waveform(leads: int, width: int, pooling: int) -> Discriminator:
    """Strided convolutions over time, the leads as channels (MelGAN: Kumar et al. 2019)."""
    return Discriminator(Pooled(pooling), [
        nn.Conv1d(leads, width, 7, padding=3),
        nn.Conv1d(width, 2 * width, 5, stride=2, padding=2),
        nn.Conv1d(2 * width, 2 * width, 5, stride=2, padding=2),
        nn.Conv1d(2 * width, 1, 3, padding=1),
    ])


def spectrum(leads: int, width: int, size: int) -> Discriminator:
    """Convolutions over time and frequency (UnivNet: Jang et al. 2021)."""
    return Discriminator(Spectrum(size), [
        nn.Conv2d(leads, width, 3, stride=(2, 1), padding=1),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.Conv2d(width, 1, 3, padding=1),
    ])


class Discriminators(nn.ModuleList):
    """Judges of the waveform at several scales and of its spectrum at several resolutions."""

    def __init__(self, leads: int, width: int):
        super().__init__([*(waveform(leads, width, pooling) for pooling in POOLINGS),
                          *(spectrum(leads, width, size) for size in SIZES)])

    def forward(self, x: Float[Tensor, "b c t"]) -> list[list[Tensor]]:
        """The feature maps of every discriminator, the last of each its logits."""
        if x.shape[-1] < SHORTEST:
            raise ValueError(f"a signal of {x.shape[-1]} samples; the discriminators want {SHORTEST} or more")
        return [discriminator(x) for discriminator in self]
