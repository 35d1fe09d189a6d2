"""Transformer encoder and decoder: patches, then attention in a window, in memory linear in the length.

Shapes: b batch, c leads, t samples, n frames, d and e channels; in attention m blocks of frames, h batch times heads,
w queries and v keys of a block, p positions.
"""

from collections.abc import Iterator
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.conv import Conv, Downsample, Upsample, identity_init

ROTARY_BASE = 10_000            # the longest wavelength of rotary positions, in frames over 2 pi
MAX_SINGLE_BLOCK_WINDOWS = 4    # up to this length, in windows, all frames form one block


class Attention(nn.Module):
    """Attention to frames at most `window` away, with rotary positions (Su et al. 2021, eq. 34).

    A block of `window` queries attends to its own and the two neighbouring blocks of keys, within the window;
    short sequences form one block. Positions count from the first key of a block, so that results do not depend
    on the position in a recording. Queries and keys are normalized (Dehghani et al. 2023, section 2).
    """

    rotary_table: Tensor

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.LayerNorm(width // heads, bias=False)
        self.key_norm = nn.LayerNorm(width // heads, bias=False)
        self.out = zero_init(nn.Linear(width, width))
        table = rotary_table(MAX_SINGLE_BLOCK_WINDOWS * window, width // heads)
        self.register_buffer("rotary_table", table, persistent=False)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        b, n, _ = x.shape
        block = n if n <= MAX_SINGLE_BLOCK_WINDOWS * self.window else self.window
        y = F.pad(self.qkv(x), (0, 0, 0, -n % block))
        q, k, v = rearrange(y, "b (m w) (s h d) -> s m (b h) w d", s=3, w=block, h=self.heads)
        q, k = self.query_norm(q), self.key_norm(k)
        if n > block:
            k, v = with_neighbours(k), with_neighbours(v)
        margin = (k.shape[2] - block) // 2
        q = apply_rotary(q, self.rotary_table[margin:margin + block])
        k = apply_rotary(k, self.rotary_table[:k.shape[2]])
        y = attend(q, k, v, window_mask(n, block, margin, self.window, v))
        return self.out(rearrange(y, "m (b h) w d -> b (m w) (h d)", b=b)[:, :n])


def attend(q: Float[Tensor, "m h w d"], k: Float[Tensor, "m h v d"], v: Float[Tensor, "m h v d"],
           bias: Float[Tensor, "#m 1 w v"] | None = None) -> Float[Tensor, "m h w d"]:
    """Softmax attention; written out on a CPU, where torch's function takes several times as long in bfloat16."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, bias)
    logits = q * q.shape[-1] ** -0.5 @ k.mT
    return (logits if bias is None else logits + bias).softmax(-1) @ v


def with_neighbours(blocks: Float[Tensor, "m h w d"]) -> Float[Tensor, "m h 3*w d"]:
    """Every block between its two neighbours, zeros beyond the ends."""
    padded = F.pad(blocks, (0, 0, 0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:-2], blocks, padded[2:]], 2)


def window_mask(frames: int, block: int, margin: int, window: int, like: Tensor) -> Float[Tensor, "m 1 w v"]:
    """The additive bias of attention: 0 where a query may attend to a key, else -infinity.

    A query attends to existing frames at most `window` away.
    The keys of a block begin `margin` frames before its queries and end `margin` frames after them.
    """
    query = torch.arange(block, device=like.device).unsqueeze(1)
    key = torch.arange(-margin, block + margin, device=like.device)
    frame = key + torch.arange(0, frames, block, device=like.device).view(-1, 1, 1, 1)
    visible = ((key - query).abs() <= window) & (frame >= 0) & (frame < frames)
    return torch.zeros_like(visible, dtype=like.dtype).masked_fill(~visible, -torch.inf)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def rotary_table(positions: int, channels: int, first: int = 0) -> Float[Tensor, "p e 2"]:
    """Cosine and sine of the angle by which each position rotates each pair of channels; layers share the tensor.

    Positions count from `first`.
    """
    frequency = ROTARY_BASE ** -torch.linspace(0, 1, channels // 2 + 1, dtype=torch.double, device="cpu")[:-1]
    angle = torch.arange(first, first + positions, dtype=torch.double, device="cpu").unsqueeze(1) * frequency
    return torch.stack([angle.cos(), angle.sin()], -1).float()


def apply_rotary(x: Float[Tensor, "*b p d"], table: Float[Tensor, "p e 2"]) -> Float[Tensor, "*b p d"]:
    """Rotates every pair of neighbouring channels, as complex numbers."""
    pairs = at_least_float32(x).unflatten(-1, (-1, 2))
    rotated = torch.view_as_complex(pairs) * torch.view_as_complex(table)
    return torch.view_as_real(rotated).flatten(-2).type_as(x)


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or in its own type if that is more precise."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def zero_init(linear: nn.Linear) -> nn.Linear:
    """Initializes a residual branch's last layer to zero, so that the branch starts without effect."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class FeedForward(nn.Module):
    """Gated two-layer network of every frame (SwiGLU: Shazeer 2020, eq. 6)."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 32 * max(1, round(width * 8 / 3 / 32))     # 2/3 of the usual 4 widths, for 3 matrices
        self.gate = nn.Linear(width, 2 * hidden)
        self.out = zero_init(nn.Linear(hidden, width))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        gate, value = self.gate(x).chunk(2, -1)
        return self.out(F.silu(gate) * value)


class TransformerBlock(nn.Module):
    """Attention and a feed-forward network, each on a residual branch that starts at zero (pre-norm)."""

    def __init__(self, width: int, heads: int, window: int, dropout: float = 0.0):
        super().__init__()
        self.context, self.dropout = window, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, window)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        x = x + F.dropout(self.attention(self.attention_norm(x)), self.dropout, self.training)
        return x + F.dropout(self.feed_forward(self.feed_forward_norm(x)), self.dropout, self.training)


class TransformerBlocks(nn.Sequential):
    """A sequence of blocks with channels first outside; the residual stream stays in float32."""

    def __init__(self, width: int, layers: int, heads: int, window: int, dropout: float = 0.0):
        if width % (2 * heads):
            raise ValueError(f"a width of {width} with {heads} heads; wanted a multiple of {2 * heads}")
        super().__init__(*(TransformerBlock(width, heads, window, dropout) for _ in range(layers)))
        self.context = layers * window

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
        return super().forward(at_least_float32(x.transpose(1, 2)).contiguous()).transpose(1, 2)

    def outputs(self, x: Float[Tensor, "b d n"]) -> Iterator[Float[Tensor, "b d n"]]:
        """The outputs of the blocks, one by one."""
        frames = at_least_float32(x.transpose(1, 2)).contiguous()
        for block in self:
            frames = block(frames)
            yield frames.transpose(1, 2)


class Encoder(nn.Module):
    """Signal to latent: overlapping patches, then blocks. Lengths must be multiples of the hop.

    `context` is the number of samples on either side, beyond its own `hop` samples, that a frame depends on.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        hop: Samples of a patch.
        width: Channels of the blocks.
        layers: Number of blocks.
        heads: Attention heads of a block.
        window: Frames on either side that a frame attends to.
    """

    def __init__(self, inputs: int, outputs: int, hop: int, width: int, layers: int, heads: int, window: int):
        super().__init__()
        self.patch = Downsample(inputs, width, hop, inputs * hop)
        self.blocks = TransformerBlocks(width, layers, heads, window)
        self.project = identity_init(Conv(width, outputs, 1), inputs * hop)
        self.context = hop * (self.patch.context + self.blocks.context)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.project(self.blocks(self.patch(x)))

    def outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b _ n"]]:
        """The outputs of the layers, one by one; `project` makes the latent of the last one."""
        patches = self.patch(x)
        yield patches
        yield from self.blocks.outputs(patches)


class Decoder(nn.Module):
    """Latent to signal: the encoder's mirror, with its arguments.

    `context` is the number of frames on either side, beyond its own, that a sample depends on.
    """

    def __init__(self, inputs: int, outputs: int, hop: int, width: int, layers: int, heads: int, window: int):
        super().__init__()
        self.project = identity_init(Conv(inputs, width, 1), outputs * hop)
        self.blocks = TransformerBlocks(width, layers, heads, window)
        self.unpatch = Upsample(width, outputs, hop, outputs * hop)
        self.context = self.blocks.context + self.unpatch.context

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights that produce the signal."""
        return self.unpatch.conv.weight

    def forward(self, z: Float[Tensor, "b d n"]) -> Float[Tensor, "b c t"]:
        return self.unpatch(self.blocks(self.project(z)))
