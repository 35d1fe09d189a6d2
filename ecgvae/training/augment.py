"""Variation of training signals that keeps them ECG."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ecgvae.training.recipe import Augmentation


def augment(x: Float[Tensor, "b c t"], settings: Augmentation, generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """Vary amplitude, electrode places and heart rate; every number comes from the (CPU) generator.

    `gain`: standard deviation of the logarithm of a record's amplitude. `mixing`: standard deviation of what
    each lead takes from each lead. `stretch`: largest relative change of the time axis, one for the batch.
    """
    def normal(*shape):
        return torch.randn(shape, generator=generator).to(x)
    if settings.stretch:
        x = stretched(x, 1 + settings.stretch * (2 * float(torch.rand(1, generator=generator)) - 1))
    if settings.mixing:
        x = torch.bmm(torch.eye(x.shape[1]).to(x) + settings.mixing * normal(len(x), x.shape[1], x.shape[1]), x)
    if settings.gain:
        x = x * torch.exp(settings.gain * normal(len(x), 1, 1))
    return x


def stretched(x: Float[Tensor, "b c t"], factor: float) -> Float[Tensor, "b c t"]:
    """The first part of the signal played slower (factor > 1), or all of it faster and then its end mirrored."""
    length = x.shape[-1]
    used = min(length, math.ceil(length / factor))
    x = F.interpolate(x[..., :used], size=round(used * factor), mode="linear", align_corners=False)
    missing = length - x.shape[-1]
    return F.pad(x, (0, missing), mode="reflect") if missing > 0 else x[..., :length]
