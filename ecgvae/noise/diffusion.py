"""Diffusion noise x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε (Ho et al. 2020, eq. 4), with x_0 added back.

Diffusion models are trained on all x_t, down to pure noise. An encoder learns little from almost pure noise, so its
input here is x_t + w x_0, with a signal-to-noise ratio of (w + √ᾱ_t)² / (1 - ᾱ_t): w = 0 is plain diffusion noise,
and with w = 1 the noise is never stronger than the signal.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

MIN_ALPHA_BAR = 1e-9        # as in Chen 2023, "On the Importance of Noise Scheduling for Diffusion Models"


def linear(u: Tensor) -> Tensor:
    """ᾱ for a linearly rising β (Ho et al. 2020), in the limit of many steps (Song et al. 2021, appendix C)."""
    return torch.exp(-0.1 * u - (20 - 0.1) * u**2 / 2)


def cosine(u: Tensor, offset: float = 0.008) -> Tensor:
    """ᾱ as a squared cosine (Nichol and Dhariwal 2021, eq. 17)."""
    def squared_cosine(u: Tensor) -> Tensor:
        return torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return squared_cosine(u) / squared_cosine(torch.zeros_like(u))


def sigmoid(u: Tensor, start: float = -3.0, end: float = 3.0) -> Tensor:
    """ᾱ as a sigmoid between start and end, scaled to fall from 1 to 0 (Jabri et al. 2022)."""
    first, last = torch.sigmoid(torch.tensor([start, end], dtype=u.dtype))
    return (last - torch.sigmoid(start + (end - start) * u)) / (last - first)


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}
TIMESTEP_POWERS = {"uniform": 1, "low-noise": 2}      # t = T u^power for a uniform u


def alpha_bars(schedule: str, steps: int) -> Float[Tensor, "steps"]:
    """ᾱ_t for t = 1 … T, falling from almost 1 to almost 0.

    Args:
        schedule: One of `SCHEDULES`.
        steps: T.
    """
    u = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    return SCHEDULES[schedule](u).clamp(min=MIN_ALPHA_BAR).float()


def sample_timesteps(distribution: str, count: int, steps: int, generator: torch.Generator) -> Int[Tensor, "count"]:
    """Draws random indices into the result of `alpha_bars`.

    Args:
        distribution: One of `TIMESTEP_POWERS`: "uniform", or "low-noise" with a density that falls as 1/√t.
        count: How many to draw.
        steps: T.
        generator: Source of the random numbers; the indices are on its device.
    """
    u = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
    return (steps * u ** TIMESTEP_POWERS[distribution]).long()


def rms(x: Float[Tensor, "b c t"]) -> Float[Tensor, "b 1 1"]:
    """The root mean square of each record over all leads, after each lead's mean is removed."""
    return x.var(-1, correction=0, keepdim=True).mean(-2, keepdim=True).sqrt()


def white_noise(x: Float[Tensor, "b c t"], generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """White Gaussian noise ε with the RMS of each record, so that noise levels are relative to the record."""
    return rms(x) * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def q_sample(x_0: Float[Tensor, "b c t"], alpha_bar: Float[Tensor, "b"],
             noise: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """A sample x_t of q(x_t | x_0), with one ᾱ_t per record."""
    alpha_bar = alpha_bar[:, None, None]
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise


def add_x0(x_t: Float[Tensor, "b c t"], x_0: Float[Tensor, "b c t"], x0_weight: float,
           alpha_bar: Float[Tensor, "b"]) -> Float[Tensor, "b c t"]:
    """x_t + w x_0 with w = `x0_weight`, scaled to the variance of x_0 if ε has the RMS of x_0."""
    alpha_bar = alpha_bar[:, None, None]
    return (x_t + x0_weight * x_0) / ((x0_weight + alpha_bar.sqrt()) ** 2 + 1 - alpha_bar).sqrt()


def snr(alpha_bar: Tensor, x0_weight: float = 0.0) -> Tensor:
    """Ratio of the powers of signal and noise after `add_x0`; with a weight of 1 it is at least 1 (0 dB)."""
    return (x0_weight + alpha_bar.sqrt()) ** 2 / (1 - alpha_bar)
