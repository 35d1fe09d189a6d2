"""Diagonal Gaussians: the posterior of a VAE, its divergence from the prior, and the likelihood of a signal."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LOG_VARIANCE_BOUNDS = -16.0, 8.0    # keep the exponential and its inverse finite in bfloat16 too
ACTIVE_UNIT_VARIANCE = 0.01         # smallest variance over data of an active unit's posterior mean (Burda et al. 2016)
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian of independent dimensions: mean and logarithm of the variance, tensors of any one shape."""

    mean: Float[Tensor, "..."]
    log_variance: Float[Tensor, "..."]

    @classmethod
    def from_output(cls, output: Float[Tensor, "b c n"]) -> "Gaussian":
        """From a network's output, means and then log variances along channels; clamped, in float32."""
        mean, log_variance = output.float().chunk(2, 1)
        return cls(mean, log_variance.clamp(*LOG_VARIANCE_BOUNDS))

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "..."]:
        """A reparametrized draw, through which gradients pass (Kingma and Welling 2014, section 2.4)."""
        return self.mean + (self.log_variance / 2).exp() * standard_normal(self.mean, generator)

    def kl(self) -> Float[Tensor, "..."]:
        """KL divergence from N(0, 1) of every dimension, in nats (Kingma and Welling 2014, appendix B)."""
        return (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance) / 2

    def log_density(self, z: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Log density of every dimension, in nats."""
        return log_density(z, self.mean, self.log_variance)


def log_density(x: Tensor, mean: Tensor | float = 0.0, log_variance: Tensor | float = 0.0) -> Float[Tensor, "..."]:
    """log N(x; mean, exp(log_variance)) of every element, in nats; of N(0, 1) by default."""
    log_variance = torch.as_tensor(log_variance, dtype=x.dtype, device=x.device)
    return -((x - mean).square() * (-log_variance).exp() + log_variance + LOG_2PI) / 2


def standard_normal(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise in the shape of a tensor, drawn on the generator's device."""
    device = generator.device if generator else like.device
    return torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def active_units(mean: Float[Tensor, "b d n"]) -> Float[Tensor, ""]:
    """Share of the latent channels whose posterior mean varies over records and frames."""
    return (mean.var((0, 2), correction=0) > ACTIVE_UNIT_VARIANCE).float().mean()
