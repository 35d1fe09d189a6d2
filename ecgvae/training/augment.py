"""Augmentation of training signals that leaves them plausible ECG."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ecgvae.training.recipe import AugmentSettings

KERNEL_SAMPLES = 16     # on either side of a position, that interpolation weighs

# Each lead from the vectorcardiogram (X, Y, Z), by Dower et al. 1980.
DOWER = {
    "I": (0.632, -0.235, 0.059), "II": (0.235, 1.066, -0.132),
    "V1": (-0.515, 0.157, -0.917), "V2": (0.044, 0.164, -1.387), "V3": (0.882, 0.098, -1.277),
    "V4": (1.213, 0.127, -0.601), "V5": (1.125, 0.127, -0.086), "V6": (0.831, 0.076, 0.230),
}


def augment(x: Float[Tensor, "b c t"], settings: AugmentSettings, generator: torch.Generator,
            leads: Sequence[str] = (), mirrored: bool = True) -> Float[Tensor, "b c _"]:
    """Varies heart rate, electrode positions, the heart's axis and amplitude, in this order.

    Args:
        x: Signals in mV.
        settings: The strength of each variation; 0 switches it off.
        generator: A CPU generator, the source of all random numbers.
        leads: The names of the c leads, for a rotation of the axis.
        mirrored: Whether signals that are played faster go on with their mirror image; else they become shorter.
    """
    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(x)
    if settings.stretch:
        x = stretch_time(x, 1 + settings.stretch * (2 * float(torch.rand(1, generator=generator)) - 1), mirrored)
    if settings.mixing:
        x = torch.bmm(torch.eye(x.shape[1]).to(x) + settings.mixing * normal(len(x), x.shape[1], x.shape[1]), x)
    if settings.rotation:
        x = rotate_axis(x, leads, math.radians(settings.rotation) * normal(len(x), 3))
    if settings.gain:
        x = x * torch.exp(settings.gain * normal(len(x), 1, 1))
    return x


def rotate_axis(x: Float[Tensor, "b c t"], leads: Sequence[str], angles: Float[Tensor, "b 3"]
                ) -> Float[Tensor, "b c t"]:
    """Rotates the dipole of the heart; what the leads have beyond a dipole stays.

    Args:
        x: Signals in mV.
        leads: Names of the c leads.
        angles: A rotation vector for each record, along its axis, in radians.

    Raises:
        ValueError: There is a lead that Dower's matrix does not have.
    """
    if len(leads) != x.shape[1] or not DOWER.keys() >= set(leads):
        raise ValueError(f"augment.rotation for {x.shape[1]} leads: {', '.join(leads)}; wanted some of "
                         f"{', '.join(DOWER)}")
    dower = torch.tensor([DOWER[lead] for lead in leads]).to(x)         # (c, 3)
    a, b, c = angles.unbind(-1)
    zero = torch.zeros_like(a)
    generators = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], -1).unflatten(-1, (3, 3))
    change = torch.matrix_exp(generators) - torch.eye(3).to(x)
    return x + (dower @ change @ torch.linalg.pinv(dower)) @ x


def stretch_time(x: Float[Tensor, "b c t"], factor: float, mirrored: bool = True) -> Float[Tensor, "b c _"]:
    """Plays the signal slower (factor > 1) or faster.

    A slower signal is cut at its end. A faster one is continued by its mirror image, or is shorter.
    """
    length = x.shape[-1]
    needed = min(length, math.ceil(length / factor))
    x = x[..., :needed] @ interpolation(needed, min(length, round(needed * factor)), factor).to(x)
    missing = length - x.shape[-1]
    return F.pad(x, (0, missing), mode="reflect") if mirrored and missing else x


def interpolation(inputs: int, outputs: int, factor: float) -> Float[Tensor, "inputs outputs"]:
    """Weights of samples in a signal that is `factor` times as slow: a sinc in a Hann window.

    Linear interpolation would take away 4 dB at 80 % of the Nyquist frequency, which a generator learns.
    """
    position = (torch.arange(outputs, dtype=torch.double) + 0.5) / factor - 0.5
    distance = position - torch.arange(inputs, dtype=torch.double).unsqueeze(1)
    window = torch.cos(math.pi / 2 * (distance / KERNEL_SAMPLES).clamp(-1, 1)).square()
    weights = torch.sinc(min(factor, 1) * distance) * window        # below the new Nyquist frequency
    return weights / weights.sum(0)
