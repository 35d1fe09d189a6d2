"""Pooling: what is kept of a layer's frames, as numbers that do not depend on their count."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.wording import quote

QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True)
class Pooling:
    """Statistics over the frames of each channel.

    Attributes:
        names: The name of each statistic.
        compute: Turns frames (b, d, n) into statistics (b, d, number of names).
    """

    names: tuple[str, ...]
    compute: Callable[[Tensor], Tensor]


def means(frames: Float[Tensor, "b d n"]) -> Float[Tensor, "b d 1"]:
    """The mean over frames."""
    return frames.mean(-1, keepdim=True)


def means_and_deviations(frames: Float[Tensor, "b d n"]) -> Float[Tensor, "b d 2"]:
    """The mean and the standard deviation over frames."""
    return torch.stack([frames.mean(-1), frames.std(-1, correction=0)], -1)


def statistics(frames: Float[Tensor, "b d n"]) -> Float[Tensor, "b d 10"]:
    """Mean, standard deviation, extremes, share above 0, mean absolute step between frames, and `QUANTILES`.

    The share of positive values is what MiniRocket's features are (Dempster et al. 2021).
    """
    steps = frames.diff(dim=-1) if frames.shape[-1] > 1 else torch.zeros_like(frames)
    quantiles = frames.quantile(frames.new_tensor(QUANTILES), -1)
    return torch.stack([frames.mean(-1), frames.std(-1, correction=0), frames.amin(-1), frames.amax(-1),
                        (frames > 0).to(frames).mean(-1), steps.abs().mean(-1), *quantiles], -1)


POOLINGS = {
    "stats": Pooling(("mean", "std", "min", "max", "positive", "step", *(f"q{100 * q:02.0f}" for q in QUANTILES)),
                     statistics),
    "mean-std": Pooling(("mean", "std"), means_and_deviations),
    "mean": Pooling(("mean",), means),
}


def find_pooling(name: str) -> Pooling:
    """The pooling of a name; ValueError if there is none."""
    if name not in POOLINGS:
        raise ValueError(f"pool is {quote(name)}; wanted one of {', '.join(POOLINGS)}")
    return POOLINGS[name]
