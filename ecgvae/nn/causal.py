"""Causal networks over frames: attention and gated convolutions, each with a cache for one frame at a time.

Both map frames (b, n, d) to frames (b, n, d) that depend on none after their own. With a `Cache`, which remembers the
frames before, frames come in parts of any length, and the results are those of the whole at once.

Shapes: b batch, n frames, d width, h heads; in attention q queries, k keys and e channels of a head.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.nn.transformer import FeedForward, apply_rotary, at_least_float32, attend, rotary_table, zero_init

Cache = dict[nn.Module, Any]        # what each layer remembers of the frames before; empty at the start
ROTARY_POSITIONS = 256              # of a rotary table, at least


class KeyValueCache:
    """The keys and values of the last frames, at least `window` of them, in buffers that rarely move."""

    def __init__(self, like: Float[Tensor, "b h q e"], window: int):
        b, h, _, e = like.shape
        self.window, self.stored, self.position = window, 0, 0
        self.buffer = like.new_empty(2, b, h, 2 * window, e)

    def append(self, keys: Float[Tensor, "b h q e"], values: Float[Tensor, "b h q e"]) -> Float[Tensor, "2 b h k e"]:
        """Adds at most `window` frames; returns keys and values of up to `window` frames before, and of these."""
        n = keys.shape[2]
        if self.stored + n > self.buffer.shape[3]:
            kept = self.buffer[..., self.stored - self.window:self.stored, :].clone()
            self.buffer[..., :self.window, :], self.stored = kept, self.window
        start, end = max(0, self.stored - self.window), self.stored + n
        self.buffer[0, ..., self.stored:end, :] = keys
        self.buffer[1, ..., self.stored:end, :] = values
        self.stored, self.position = end, self.position + n
        return self.buffer[..., start:self.stored, :]


class CausalAttention(nn.Module):
    """Attention to the frame itself and at most `window` before it, with rotary positions (Su et al. 2021, eq. 34).

    Queries and keys are normalized (Dehghani et al. 2023, section 2).
    """

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = nn.LayerNorm(width // heads, bias=False)
        self.key_norm = nn.LayerNorm(width // heads, bias=False)
        self.out = zero_init(nn.Linear(width, width))

    def forward(self, x: Float[Tensor, "b n d"], cache: Cache | None = None) -> Float[Tensor, "b n d"]:
        if cache is not None and x.shape[1] > self.window:
            return torch.cat([self(part, cache) for part in x.split(self.window, 1)], 1)
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)     # (b, h, n, e) each
        q, k = self.query_norm(q), self.key_norm(k)
        if cache is not None and self not in cache:
            cache[self] = KeyValueCache(q, self.window)
        past = None if cache is None else cache[self]
        first = past.position if past else 0
        table = rotary_positions(first, n, q.shape[-1]).to(x.device)
        q, k = apply_rotary(torch.stack([q, k]), table)
        if past:
            k, v = past.append(k, v)
        y = attend(q, k, v, None if n == 1 else causal_mask(n, k.shape[2], self.window, q))  # one frame sees all of k
        return self.out(y.transpose(1, 2).flatten(2))


def rotary_positions(first: int, count: int, channels: int) -> Float[Tensor, "p e 2"]:
    """The rotary table of positions, from one of a few lengths that begins near them: few tables, none of them long."""
    offset = first % ROTARY_POSITIONS
    length = max(ROTARY_POSITIONS, 1 << (offset + count - 1).bit_length())
    return rotary_table(length, channels, first - offset)[offset:offset + count]


def causal_mask(queries: int, keys: int, window: int, like: Tensor) -> Float[Tensor, "1 1 q k"]:
    """The additive bias of attention of the last frames to all: 0 up to `window` before a frame, else -infinity."""
    key = torch.arange(keys, device=like.device)
    distance = key[keys - queries:].unsqueeze(1) - key
    visible = (distance >= 0) & (distance <= window)
    return torch.zeros_like(visible, dtype=like.dtype).masked_fill(~visible, -torch.inf)[None, None]


class CausalBlock(nn.Module):
    """Causal attention and a feed-forward network, each on a residual branch that starts at zero (pre-norm)."""

    def __init__(self, width: int, heads: int, window: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads, window)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d"], cache: Cache | None = None) -> Float[Tensor, "b n d"]:
        x = x + self.dropout(self.attention(self.attention_norm(x), cache))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class CausalTransformer(nn.Module):
    """Blocks of causal attention; the residual stream stays in float32."""

    def __init__(self, width: int, layers: int, heads: int, window: int, dropout: float = 0.0):
        if width % (2 * heads):
            raise ValueError(f"a width of {width} with {heads} heads; wanted a multiple of {2 * heads}")
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(CausalBlock(width, heads, window, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b n d"], cache: Cache | None = None) -> Float[Tensor, "b n d"]:
        x = at_least_float32(self.dropout(x))
        for block in self.blocks:
            x = block(x, cache)
        return self.norm(x)


class GatedConv(nn.Module):
    """A dilated causal convolution with a gate on a residual branch (van den Oord et al. 2016, WaveNet, eq. 2)."""

    def __init__(self, width: int, kernel: int, dilation: int, dropout: float):
        super().__init__()
        self.past = (kernel - 1) * dilation       # frames before its own that the result depends on
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Conv1d(width, 2 * width, kernel, dilation=dilation)
        self.out = zero_init(nn.Linear(width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "b n d"], cache: Cache | None = None) -> Float[Tensor, "b n d"]:
        y = self.norm(x)
        past = None if cache is None else cache.get(self)
        y = F.pad(y, (0, 0, self.past, 0)) if past is None else torch.cat([past, y], 1)
        if cache is not None:
            cache[self] = y[:, y.shape[1] - self.past:]
        value, gate = self.convolve(y).chunk(2, -1)
        return x + self.dropout(self.out(value.tanh() * gate.sigmoid()))

    def convolve(self, y: Float[Tensor, "b p d"]) -> Float[Tensor, "b n e"]:
        """The convolution without padding; for a single frame as a product, which takes a CPU less time."""
        if y.shape[1] > self.past + 1:
            return self.gate(y.mT).mT
        inputs = y[:, ::self.gate.dilation[0]].mT.flatten(1)
        return F.linear(inputs, self.gate.weight.flatten(1), self.gate.bias).unsqueeze(1)


class GatedConvs(nn.Module):
    """Gated causal convolutions whose dilations double from 1 to `max_dilation`, `repeats` times."""

    def __init__(self, width: int, kernel: int, max_dilation: int, repeats: int, dropout: float = 0.0):
        super().__init__()
        dilations = [1 << power for power in range(max_dilation.bit_length())] * repeats
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(GatedConv(width, kernel, dilation, dropout) for dilation in dilations)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "b n d"], cache: Cache | None = None) -> Float[Tensor, "b n d"]:
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, cache)
        return self.norm(x)
