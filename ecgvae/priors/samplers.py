"""Samplers of diffusion and flow models, from noise to data: functions of a trained network and a grid of times.

A velocity (x, t) is dx/dt of samples at a time; a denoiser (x, t) estimates x_0 from x_t = √ᾱ x_0 + √(1 - ᾱ) ε.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
Denoiser = Callable[[Tensor, float], Tensor]


def sample_euler(velocity: Velocity, x: Float[Tensor, "..."], times: Sequence[float]) -> Float[Tensor, "..."]:
    """Euler's method from the first time to the last (Liu et al. 2023, Rectified Flow, algorithm 1); order 1."""
    for t, after in pairwise(times):
        x = x + (after - t) * velocity(x, t)
    return x


def sample_heun(velocity: Velocity, x: Float[Tensor, "..."], times: Sequence[float]) -> Float[Tensor, "..."]:
    """Heun's method, whose last step is one of Euler's (Karras et al. 2022, algorithm 1); order 2."""
    for t, after in pairwise(times[:-1]):
        slope = velocity(x, t)
        ahead = velocity(x + (after - t) * slope, after)
        x = x + (after - t) * (slope + ahead) / 2
    return sample_euler(velocity, x, times[-2:])


def sample_ddim(denoiser: Denoiser, x: Float[Tensor, "..."], times: Sequence[float], alpha_bars: Sequence[float]
                ) -> Float[Tensor, "..."]:
    """Deterministic steps between times, whose ᾱ rise to 1 (Song et al. 2021, DDIM, eq. 12 with σ = 0)."""
    for t, (alpha_bar, after) in zip(times[:-1], pairwise(alpha_bars), strict=True):
        x_0 = denoiser(x, t)
        noise = (x - alpha_bar**0.5 * x_0) / (1 - alpha_bar) ** 0.5
        x = after**0.5 * x_0 + (1 - after) ** 0.5 * noise
    return x


def sample_ddpm(denoiser: Denoiser, x: Float[Tensor, "..."], times: Sequence[float], alpha_bars: Sequence[float],
                draw_noise: Callable[[], Tensor]) -> Float[Tensor, "..."]:
    """Draws from q(x_s | x_t, x_0) between times, whose ᾱ rise to 1 (Ho et al. 2020, DDPM, eq. 6 and 7)."""
    for t, (alpha_bar, after) in zip(times[:-1], pairwise(alpha_bars), strict=True):
        x_0, alpha = denoiser(x, t), alpha_bar / after
        mean = (after**0.5 * (1 - alpha) * x_0 + alpha**0.5 * (1 - after) * x) / (1 - alpha_bar)
        std = ((1 - after) / (1 - alpha_bar) * (1 - alpha)) ** 0.5
        x = mean + std * draw_noise() if after < 1 else mean
    return x
