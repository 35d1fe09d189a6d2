"""Transformer whose blocks are modulated by the time of a diffusion and by a condition.

Shapes: b batch, n frames, d width, e width of the embedding of time and condition.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.transformer import Attention, FeedForward, at_least_float32, zero_init

TIME_FREQUENCIES = 64           # each gives a sine and a cosine
MAX_TIME_FREQUENCY = 100.0      # radians per unit of time; higher ones make a velocity rough in time


class TimeEmbedding(nn.Module):
    """Two layers from sines and cosines of a time between 0 and 1 to a vector (Ho et al. 2020, appendix B)."""

    frequencies: Tensor

    def __init__(self, width: int):
        super().__init__()
        exponents = torch.linspace(0, 1, TIME_FREQUENCIES, device="cpu")
        self.register_buffer("frequencies", MAX_TIME_FREQUENCY ** exponents, persistent=False)
        self.hidden = nn.Linear(2 * TIME_FREQUENCIES, width)
        self.out = nn.Linear(width, width)

    def forward(self, t: Float[Tensor, "b"]) -> Float[Tensor, "b e"]:
        angle = t.unsqueeze(1).to(self.frequencies) * self.frequencies
        return self.out(F.silu(self.hidden(torch.cat([angle.sin(), angle.cos()], 1))))


class ModulatedBlock(nn.Module):
    """Attention and a feed-forward network, with shift, scale and gate from the embedding (Peebles and Xie 2023, DiT).

    Residual branches start at zero and gates at one.
    """

    def __init__(self, width: int, heads: int, window: int, embedding_width: int, dropout: float):
        super().__init__()
        self.modulation = zero_init(nn.Linear(embedding_width, 6 * width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attention = Attention(width, heads, window)
        self.feed_forward = FeedForward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d"], embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b n d"]:
        parts = self.modulation(embedding).unsqueeze(1).chunk(6, -1)        # each (b, 1, d)
        for branch, (shift, scale, gate) in ((self.attention, parts[:3]), (self.feed_forward, parts[3:])):
            y = branch(self.norm(x) * (1 + scale) + shift)
            x = x + (1 + gate) * self.dropout(y)
        return x


class ModulatedTransformer(nn.Module):
    """Frames (b, n, inputs) at a time of each item, under its condition, to frames (b, n, outputs), zero at first.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        width: Channels of the blocks.
        layers: Number of blocks.
        heads: Attention heads of a block.
        window: Frames on either side that a frame attends to.
        embedding_width: Channels of the embedding of time and condition.
        dropout: Share of the channels of residual branches that are dropped in training.
    """

    def __init__(self, inputs: int, outputs: int, width: int, layers: int, heads: int, window: int,
                 embedding_width: int, dropout: float = 0.0):
        if width % (2 * heads):
            raise ValueError(f"a width of {width} with {heads} heads; wanted a multiple of {2 * heads}")
        super().__init__()
        self.time = TimeEmbedding(embedding_width)
        self.project = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(ModulatedBlock(width, heads, window, embedding_width, dropout)
                                    for _ in range(layers))
        self.modulation = zero_init(nn.Linear(embedding_width, 2 * width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.out = zero_init(nn.Linear(width, outputs))

    def forward(self, x: Float[Tensor, "b n i"], t: Float[Tensor, "b"], condition: Float[Tensor, "..."]
                ) -> Float[Tensor, "b n o"]:
        embedding = F.silu(self.time(t) + condition)
        x = at_least_float32(self.project(x))
        for block in self.blocks:
            x = block(x, embedding)
        shift, scale = self.modulation(embedding).unsqueeze(1).chunk(2, -1)
        return self.out(self.norm(x) * (1 + scale) + shift)
