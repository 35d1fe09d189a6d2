"""Augmentation of training signals that leaves them plausible ECG."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ecgvae.training.recipe import AugmentSettings


def augment(x: Float[Tensor, "b c t"], settings: AugmentSettings,
            generator: torch.Generator) -> Float[Tensor, "b c t"]:
    """Varies heart rate, electrode positions and amplitude, in this order.

    Args:
        x: Signals in mV.
        settings: The strength of each variation; 0 switches it off.
        generator: A CPU generator, the source of all random numbers.
    """
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(x)
    if settings.stretch:
        x = stretch_time(x, 1 + settings.stretch * (2 * float(torch.rand(1, generator=generator)) - 1))
    if settings.mixing:
        x = torch.bmm(torch.eye(x.shape[1]).to(x) + settings.mixing * normal(len(x), x.shape[1], x.shape[1]), x)
    if settings.gain:
        x = x * torch.exp(settings.gain * normal(len(x), 1, 1))
    return x


def stretch_time(x: Float[Tensor, "b c t"], factor: float) -> Float[Tensor, "b c t"]:
    """Plays the signal slower (factor > 1) or faster, at the same length.

    A slower signal is cut at its end. A faster one is continued by its mirror image.
    """
    length = x.shape[-1]
    needed = min(length, math.ceil(length / factor))
    x = F.interpolate(x[..., :needed], size=round(needed * factor), mode="linear", align_corners=False)
    missing = length - x.shape[-1]
    return F.pad(x, (0, missing), mode="reflect") if missing > 0 else x[..., :length]
