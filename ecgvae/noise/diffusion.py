"""Diffusion noising x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε (Ho et al. 2020, eq. 4), with x_0 added back to it.

Diffusion models learn from every x_t down to pure noise. An encoder learns little from the noisiest, so here
the input is x_t + w x_0, whose ratio of signal to noise is (w + √ᾱ_t)² / (1 - ᾱ_t): w = 0 is plain noising,
and with w = 1 the noise is never stronger than the signal.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

LEAST = 1e-9        # of ᾱ, as Chen 2023 ("On the Importance of Noise Scheduling for Diffusion Models") has it


def linear(u: Tensor) -> Tensor:
    """β rising linearly (Ho et al. 2020), in the limit of many steps (Song et al. 2021, appendix C)."""
    return torch.exp(-0.1 * u - (20 - 0.1) * u**2 / 2)


def cosine(u: Tensor, offset: float = 0.008) -> Tensor:
    """A squared cosine (Nichol and Dhariwal 2021, eq. 17)."""
    def height(u):
        return torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return height(u) / height(torch.zeros_like(u))


def sigmoid(u: Tensor, start: float = -3.0, end: float = 3.0) -> Tensor:
    """A sigmoid from start to end, brought to 1 and 0 at its ends (Jabri et al. 2022)."""
    first, last = torch.sigmoid(torch.tensor([start, end], dtype=u.dtype))
    return (last - torch.sigmoid(start + (end - start) * u)) / (last - first)


SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}
DRAWS = {"uniform": 1, "low-noise": 2}      # t = T u^power for a uniform u


def alpha_bars(schedule: str, steps: int) -> Float[Tensor, "steps"]:
    """ᾱ_t of t = 1 … T for one of SCHEDULES, falling from almost 1 to almost 0."""
    u = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    return SCHEDULES[schedule](u).clamp(min=LEAST).float()


def draw_steps(draw: str, count: int, steps: int, generator: torch.Generator) -> Int[Tensor, "count"]:
    """Random indices into ᾱ: each alike ("uniform"), or with a density that falls as 1/√t ("low-noise")."""
    u = torch.rand(count, generator=generator, dtype=torch.float64, device=generator.device)
    return (steps * u ** DRAWS[draw]).long()


def level(x: Float[Tensor, "b c t"]) -> Float[Tensor, "b 1 1"]:
    """The root mean square of each record over all its leads, each without its mean."""
    return x.var(-1, correction=0, keepdim=True).mean(-2, keepdim=True).sqrt()


def white(x: Float[Tensor, "b c t"], generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """White Gaussian noise ε as strong as each record: the level of noise is relative to it, not to 1 mV."""
    return level(x) * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def q_sample(x_0: Float[Tensor, "b c t"], alpha_bar: Float[Tensor, "b"],
             noise: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """x_t of a draw from q(x_t | x_0), each record with its own ᾱ_t."""
    alpha_bar = alpha_bar[:, None, None]
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise


def mix(x_t: Float[Tensor, "b c t"], x_0: Float[Tensor, "b c t"], w: float,
        alpha_bar: Float[Tensor, "b"]) -> Float[Tensor, "b c t"]:
    """x_t + w x_0, scaled to the variance that x_0 has where the noise is as strong as x_0."""
    alpha_bar = alpha_bar[:, None, None]
    return (x_t + w * x_0) / ((w + alpha_bar.sqrt()) ** 2 + 1 - alpha_bar).sqrt()


def snr(alpha_bar: Tensor, w: float = 0.0) -> Tensor:
    """Power of the signal over that of the noise in `mix`; with w = 1 it is 1 (0 dB) or more."""
    return (w + alpha_bar.sqrt()) ** 2 / (1 - alpha_bar)
