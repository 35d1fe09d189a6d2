"""Transformer encoder and decoder: patches, then attention in a window, in memory linear in the length."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.conv import Conv, Downsample, Upsample, carrying

SLOWEST = 10_000    # the rotary base: frames (over 2 pi) of the longest wave
WHOLE = 4           # windows up to which all frames make one block


class Attention(nn.Module):
    """Attention to frames at most `window` away, with rotary positions (Su et al. 2021, eq. 34).

    A block of `window` queries sees its own and the two neighbouring blocks of keys, less what is out of
    the window; up to `WHOLE` windows make one block. Positions count from the first key of a block, so that
    numbers do not depend on how far into a recording they are. Queries and keys are normalised (Dehghani et
    al. 2023, section 2).
    """

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.LayerNorm(width // heads, bias=False)
        self.key_norm = nn.LayerNorm(width // heads, bias=False)
        self.out = silent(nn.Linear(width, width))
        self.register_buffer("turns", turns(WHOLE * window, width // heads), persistent=False)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        b, n, _ = x.shape
        block = n if n <= WHOLE * self.window else self.window
        y = F.pad(self.queries_keys_values(x), (0, 0, 0, -n % block))
        q, k, v = rearrange(y, "b (m w) (s h d) -> s m (b h) w d", s=3, w=block, h=self.heads)
        q, k = self.query_norm(q), self.key_norm(k)
        if n > block:
            k, v = beside(k), beside(v)
        before = (k.shape[2] - block) // 2
        q, k = rotated(q, self.turns[before:before + block]), rotated(k, self.turns[:k.shape[2]])
        y = attend(q, k, v, band(n, block, before, self.window, v))
        return self.out(rearrange(y, "m (b h) w d -> b (m w) (h d)", b=b)[:, :n])


def attend(q: Float[Tensor, "m h w d"], k: Float[Tensor, "m h v d"], v: Float[Tensor, "m h v d"],
           bias: Float[Tensor, "m 1 w v"]) -> Float[Tensor, "m h w d"]:
    """Softmax attention; written out on a CPU, where torch's own takes several times as long in bfloat16."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, bias)
    return (q * q.shape[-1] ** -0.5 @ k.mT + bias).softmax(-1) @ v


def beside(blocks: Float[Tensor, "m h w d"]) -> Float[Tensor, "m h 3*w d"]:
    """Every block between its two neighbours, zeros beyond the ends."""
    padded = F.pad(blocks, (0, 0, 0, 0, 0, 0, 1, 1))
    return torch.cat([padded[:-2], blocks, padded[2:]], 2)


def band(frames: int, block: int, before: int, window: int, like: Tensor) -> Float[Tensor, "m 1 w v"]:
    """0 where a query may see a key, a frame that exists and is at most `window` away, else -infinity.

    The keys of a block begin `before` frames before its queries and end as many after them.
    """
    query = torch.arange(block, device=like.device).unsqueeze(1)
    key = torch.arange(-before, block + before, device=like.device)
    frame = key + torch.arange(0, frames, block, device=like.device).view(-1, 1, 1, 1)
    seen = ((key - query).abs() <= window) & (frame >= 0) & (frame < frames)
    return torch.zeros_like(seen, dtype=like.dtype).masked_fill(~seen, -torch.inf)


def turns(positions: int, channels: int) -> Float[Tensor, "p e 2"]:
    """Cosine and sine of the angle by which a position turns each pair of channels."""
    speed = SLOWEST ** -torch.linspace(0, 1, channels // 2 + 1, dtype=torch.double, device="cpu")[:-1]
    angle = torch.arange(positions, dtype=torch.double, device="cpu").unsqueeze(1) * speed
    return torch.stack([angle.cos(), angle.sin()], -1).float()


def rotated(x: Float[Tensor, "m h p d"], turns: Float[Tensor, "p e 2"]) -> Float[Tensor, "m h p d"]:
    """Turn every pair of neighbouring channels, as complex numbers."""
    pairs = precise(x).unflatten(-1, (-1, 2))
    turned = torch.view_as_complex(pairs) * torch.view_as_complex(turns)
    return torch.view_as_real(turned).flatten(-2).type_as(x)


def precise(x: Tensor) -> Tensor:
    """In float32, unless it is already finer."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def silent(linear: nn.Linear) -> nn.Linear:
    """Start at zero, so that what it is added to passes unchanged."""
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class FeedForward(nn.Module):
    """Gated two-layer network of every frame (SwiGLU: Shazeer 2020, eq. 6)."""

    def __init__(self, width: int):
        super().__init__()
        hidden = 32 * max(1, round(width * 8 / 3 / 32))     # 2/3 of the usual 4 widths, for 3 matrices
        self.gate = nn.Linear(width, 2 * hidden)
        self.out = silent(nn.Linear(hidden, width))

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        gate, value = self.gate(x).chunk(2, -1)
        return self.out(F.silu(gate) * value)


class Block(nn.Module):
    """Attention, then the feed-forward network, each beside the identity, which is where the block starts."""

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.context = window
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, window)
        self.feed_norm = nn.LayerNorm(width)
        self.feed = FeedForward(width)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed(self.feed_norm(x))


class Blocks(nn.Sequential):
    """Blocks in a row, channels first outside; what passes between them stays in float32."""

    def __init__(self, width: int, layers: int, heads: int, window: int):
        if width % (2 * heads):
            raise ValueError(f"{heads} heads share a width of {width}; wanted a multiple of {2 * heads}")
        super().__init__(*(Block(width, heads, window) for _ in range(layers)))
        self.context = sum(block.context for block in self)

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
        return super().forward(precise(x.transpose(1, 2)).contiguous()).transpose(1, 2)


class Encoder(nn.Module):
    """Signal to latent: overlapping patches, then blocks; lengths must be multiples of the hop.

    `context` is how many samples before and after its own `hop` samples a frame depends on.
    """

    def __init__(self, inputs: int, outputs: int, hop: int, width: int, layers: int, heads: int, window: int):
        super().__init__()
        self.patch = Downsample(inputs, width, hop, inputs * hop)
        self.blocks = Blocks(width, layers, heads, window)
        self.project = carrying(Conv(width, outputs, 1), inputs * hop)
        self.context = hop * (self.patch.context + self.blocks.context)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.project(self.blocks(self.patch(x)))


class Decoder(nn.Module):
    """Latent to signal: the encoder's mirror.

    `context` is how many frames before and after its own a sample depends on.
    """

    def __init__(self, inputs: int, outputs: int, hop: int, width: int, layers: int, heads: int, window: int):
        super().__init__()
        self.project = carrying(Conv(inputs, width, 1), outputs * hop)
        self.blocks = Blocks(width, layers, heads, window)
        self.unpatch = Upsample(width, outputs, hop, outputs * hop)
        self.context = self.blocks.context + self.unpatch.context

    @property
    def last_layer(self) -> nn.Parameter:
        """The weight that makes the signal."""
        return self.unpatch.mix.weight

    def forward(self, z: Float[Tensor, "b d n"]) -> Float[Tensor, "b c t"]:
        return self.unpatch(self.blocks(self.project(z)))
