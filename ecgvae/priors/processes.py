"""Processes that turn latents x_0 into Gaussian noise between the times 0 and 1, and what a network learns of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.noise.diffusion import alpha_bars
from ecgvae.priors.samplers import Velocity, sample_ddim, sample_ddpm, sample_euler, sample_heun

DIFFUSION_STEPS = 1000      # T of Ho et al. 2020
Noise = Callable[[], Tensor]


class Process(ABC):
    """Noised latents, the target of the network, and the samplers that fit it.

    Attributes:
        solvers: Number of network evaluations by default of each solver; the first solver is the default.
        max_steps: The largest number of network evaluations.
    """

    solvers: ClassVar[dict[str, int]]
    max_steps: ClassVar[int]

    @abstractmethod
    def time(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        """The times of training from numbers between 0 and 1."""

    @abstractmethod
    def noised(self, x_0: Float[Tensor, "b d n"], noise: Float[Tensor, "b d n"], t: Float[Tensor, "b"]
               ) -> tuple[Float[Tensor, "b d n"], Float[Tensor, "b d n"]]:
        """The noised latents x_t and the target of the network."""

    @abstractmethod
    def sample(self, network: Velocity, draw_noise: Noise, solver: str, steps: int) -> Tensor:
        """Draws latents, from noise at time 1, with at most so many evaluations of the network (x, t) -> target."""


class Flow(Process):
    """Straight paths x_t = (1 - t) x_0 + t x_1 to noise x_1, whose velocity is the target (Liu et al. 2023, eq. 1)."""

    solvers: ClassVar[dict[str, int]] = {"heun": 20, "euler": 20}
    max_steps: ClassVar[int] = 10_000

    def time(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        return u

    def noised(self, x_0: Float[Tensor, "b d n"], noise: Float[Tensor, "b d n"], t: Float[Tensor, "b"]
               ) -> tuple[Float[Tensor, "b d n"], Float[Tensor, "b d n"]]:
        t = t[:, None, None]
        return (1 - t) * x_0 + t * noise, noise - x_0

    def sample(self, network: Velocity, draw_noise: Noise, solver: str, steps: int) -> Tensor:
        if solver == "heun":        # two evaluations a step, but one in the last
            return sample_heun(network, draw_noise(), torch.linspace(1, 0, (steps + 1) // 2 + 1).tolist())
        return sample_euler(network, draw_noise(), torch.linspace(1, 0, steps + 1).tolist())


class Diffusion(Process):
    """Gaussian diffusion in 1,000 steps by the cosine schedule x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε (Ho et al. 2020, eq. 4).

    The target is √ᾱ_t ε - √(1 - ᾱ_t) x_0, which is of unit variance at all times (Salimans and Ho 2022, section 4).
    """

    solvers: ClassVar[dict[str, int]] = {"ddim": 50, "ddpm": 200}
    max_steps: ClassVar[int] = DIFFUSION_STEPS

    @cached_property
    def alpha_bars(self) -> Tensor:
        """ᾱ at the times 0, 1/T, ..., 1."""
        return torch.cat([torch.ones(1), alpha_bars("cosine", DIFFUSION_STEPS)])

    def alpha_bar(self, t: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """ᾱ at times that are multiples of 1/T."""
        return self.alpha_bars.to(t.device)[(t * DIFFUSION_STEPS).round().long()]

    def time(self, u: Float[Tensor, "b"]) -> Float[Tensor, "b"]:
        return ((u * DIFFUSION_STEPS).floor() + 1).clamp(max=DIFFUSION_STEPS) / DIFFUSION_STEPS

    def noised(self, x_0: Float[Tensor, "b d n"], noise: Float[Tensor, "b d n"], t: Float[Tensor, "b"]
               ) -> tuple[Float[Tensor, "b d n"], Float[Tensor, "b d n"]]:
        alpha_bar = self.alpha_bar(t)[:, None, None]
        signal, deviation = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return signal * x_0 + deviation * noise, signal * noise - deviation * x_0

    def sample(self, network: Velocity, draw_noise: Noise, solver: str, steps: int) -> Tensor:
        grid = torch.linspace(DIFFUSION_STEPS, 0, steps + 1).round() / DIFFUSION_STEPS
        times, alpha_bars = grid.tolist(), self.alpha_bar(grid).tolist()

        def denoiser(x: Tensor, t: float) -> Tensor:
            alpha_bar = float(self.alpha_bar(torch.tensor(t)))
            return alpha_bar**0.5 * x - (1 - alpha_bar) ** 0.5 * network(x, t)
        if solver == "ddpm":
            return sample_ddpm(denoiser, draw_noise(), times, alpha_bars, draw_noise)
        return sample_ddim(denoiser, draw_noise(), times, alpha_bars)


PROCESSES: dict[str, Process] = {"flow": Flow(), "ddpm": Diffusion()}
