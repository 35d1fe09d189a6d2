"""From frames to one vector for every few of them and back, each by one linear map."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.conv import Conv, carrying


class Fold(nn.Module):
    """(b, inputs, n span) to (b, outputs, n); of single frames the first channels pass unchanged at the start."""

    def __init__(self, inputs: int, outputs: int, span: int):
        super().__init__()
        self.span, self.map = span, started(Conv(inputs * span, outputs, 1), span)

    def forward(self, frames: Float[Tensor, "b d m"]) -> Float[Tensor, "b e n"]:
        return self.map(rearrange(frames, "b d (n s) -> b (d s) n", s=self.span))


class Unfold(nn.Module):
    """The mirror of `Fold`: (b, inputs, n) to (b, outputs, n span)."""

    def __init__(self, inputs: int, outputs: int, span: int):
        super().__init__()
        self.span, self.map = span, started(Conv(inputs, outputs * span, 1), span)

    def forward(self, vectors: Float[Tensor, "b d n"]) -> Float[Tensor, "b e m"]:
        return rearrange(self.map(vectors), "b (d s) n -> b d (n s)", s=self.span)


def started(conv: Conv, span: int) -> Conv:
    """Single frames pass as they are, so that a wide latent starts as the identity; several are mixed at random."""
    if span == 1:
        return carrying(conv, conv.in_channels)
    with torch.no_grad():
        nn.init.orthogonal_(conv.weight)
        nn.init.zeros_(conv.bias)
    return conv
