"""Linear maps between frames and vectors that cover several frames each."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.conv import Conv, identity_init


class MergeFrames(nn.Module):
    """Maps every `span` frames to one vector by one linear map: (b, inputs, n span) to (b, outputs, n)."""

    def __init__(self, inputs: int, outputs: int, span: int):
        super().__init__()
        self.span, self.linear = span, init_linear(Conv(inputs * span, outputs, 1), span)

    def forward(self, frames: Float[Tensor, "b d m"]) -> Float[Tensor, "b e n"]:
        return self.linear(rearrange(frames, "b d (n s) -> b (d s) n", s=self.span))


class SplitFrames(nn.Module):
    """The mirror of `MergeFrames`: (b, inputs, n) to (b, outputs, n span)."""

    def __init__(self, inputs: int, outputs: int, span: int):
        super().__init__()
        self.span, self.linear = span, init_linear(Conv(inputs, outputs * span, 1), span)

    def forward(self, vectors: Float[Tensor, "b d n"]) -> Float[Tensor, "b e m"]:
        return rearrange(self.linear(vectors), "b (d s) n -> b d (n s)", s=self.span)


def init_linear(conv: Conv, span: int) -> Conv:
    """Starts as the identity on single frames, so that a wide latent does too; as orthogonal weights on several."""
    if span == 1:
        return identity_init(conv, conv.in_channels)
    with torch.no_grad():
        nn.init.orthogonal_(conv.weight)
        nn.init.zeros_(conv.bias)
    return conv
