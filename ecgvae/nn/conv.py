"""One-dimensional convolutional encoder and decoder.

They work at any length, and overlapping chunks have the same bits as the whole. Shapes: b batch, c leads, t samples,
n frames, d and e channels, k taps of a kernel, s stride.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class Conv(nn.Conv1d):
    """A convolution that, without gradients on a CPU, gives the same bits at any batch size and length.

    The rounding of oneDNN depends on both, which now and then changes the nearest code. One matrix product over
    frames, with channels last so that no SIMD instruction spans two frames, does not; and it is faster.
    """

    weight: nn.Parameter
    bias: nn.Parameter

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b e n"]:
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        weight = self.weight.permute(2, 1, 0).flatten(0, 1)             # (kernel d, e)
        y = torch.addmm(self.bias, self.im2col(x.transpose(1, 2)).reshape(-1, len(weight)), weight)
        return y.unflatten(0, (len(x), x.shape[-1])).transpose(1, 2)

    def im2col(self, frames: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k d"]:
        """The frames under each tap of the kernel, zeros beyond the ends."""
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        margin = dilation * (kernel // 2)
        frames = F.pad(frames, (0, 0, margin, margin)) if margin else frames
        return frames.unfold(1, 2 * margin + 1, 1)[..., ::dilation].transpose(2, 3)


class ResidualUnit(nn.Module):
    """A dilated and a pointwise convolution on a residual branch, whose last layer is initialized to zero."""

    def __init__(self, width: int, dilation: int, kernel: int = 3):
        super().__init__()
        self.context = dilation * (kernel // 2)
        self.dilated = Conv(width, width, kernel, dilation=dilation, padding=self.context)
        self.pointwise = Conv(width, width, 1)
        nn.init.zeros_(self.pointwise.weight)
        nn.init.zeros_(self.pointwise.bias)

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
        return x + self.pointwise(F.silu(self.dilated(F.silu(x))))


class Downsample(nn.Module):
    """Moves `stride` neighbouring samples into channels (pixel unshuffle), then convolves with both neighbours.

    The first `identity_channels` channels pass unchanged at initialization.
    """

    context = 1

    def __init__(self, inputs: int, outputs: int, stride: int, identity_channels: int):
        super().__init__()
        self.stride = stride
        self.conv = identity_init(Conv(inputs * stride, outputs, 3, padding=1), identity_channels)

    def forward(self, x: Float[Tensor, "b d t"]) -> Float[Tensor, "b e n"]:
        return self.conv(rearrange(x, "b d (n s) -> b n (d s)", s=self.stride).transpose(1, 2))


class Upsample(nn.Module):
    """The mirror of `Downsample`: a convolution, then channels become `stride` neighbouring samples."""

    context = 1

    def __init__(self, inputs: int, outputs: int, stride: int, identity_channels: int):
        super().__init__()
        self.stride = stride
        self.conv = identity_init(Conv(inputs, outputs * stride, 3, padding=1), identity_channels)

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b e t"]:
        return rearrange(self.conv(x), "b (e s) n -> b e (n s)", s=self.stride)


@torch.no_grad()
def identity_init(conv: Conv, channels: int) -> Conv:
    """Initializes a convolution so that its first channels pass unchanged.

    So the samples in the channels reach the latent, and the decoder's output, unchanged: where the latent is wide
    enough, an untrained autoencoder is the identity, and its quantizer starts on the signal itself.
    """
    channels = min(channels, conv.in_channels, conv.out_channels)
    index = torch.arange(channels)
    conv.weight[:channels] = 0
    conv.weight[index, index, conv.kernel_size[0] // 2] = 1
    conv.bias[:channels] = 0
    return conv


class Encoder(nn.Module):
    """Signal to latent: a `Downsample` at each scale, then residual units. Lengths must be multiples of the hop.

    `context` is the number of samples on either side, beyond its own `hop` samples, that a frame depends on.

    Args:
        leads: Input channels.
        latent: Output channels.
        widths: Channels at each scale, finest first.
        strides: Downsampling factor at each scale.
        dilations: Dilations of the residual units at each scale.
    """

    def __init__(self, leads: int, latent: int, widths: tuple[int, ...], strides: tuple[int, ...],
                 dilations: tuple[tuple[int, ...], ...]):
        super().__init__()
        layers: list[nn.Module] = []
        hop, self.context = 1, 0
        scales = zip((leads, *widths[:-1]), widths, strides, dilations, strict=True)
        for inputs, width, stride, unit_dilations in scales:
            hop *= stride
            blocks: list[Downsample | ResidualUnit] = [
                Downsample(inputs, width, stride, leads * hop), *(ResidualUnit(width, d) for d in unit_dilations)]
            self.context += hop * sum(block.context for block in blocks)
            layers += blocks
        self.layers = nn.Sequential(*layers)
        self.project = identity_init(Conv(widths[-1], latent, 1), leads * hop)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.project(self.layers(x))

    def outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b _ _"]]:
        """The outputs of the layers, one by one; `project` makes the latent of the last one."""
        for layer in self.layers:
            x = layer(x)
            yield x


class Decoder(nn.Module):
    """Latent to signal: the encoder's mirror, with its scales in the same order (finest first).

    `context` is the number of frames on either side, beyond its own, that a sample depends on. The arguments are
    those of `Encoder`.
    """

    def __init__(self, leads: int, latent: int, widths: tuple[int, ...], strides: tuple[int, ...],
                 dilations: tuple[tuple[int, ...], ...]):
        super().__init__()
        hop = total_hop = math.prod(strides)
        self.project = identity_init(Conv(latent, widths[-1], 3, padding=1), leads * hop)
        layers: list[nn.Module] = []
        context = total_hop         # in samples
        scales = zip(widths, (leads, *widths[:-1]), strides, dilations, strict=True)
        for width, outputs, stride, unit_dilations in reversed(list(scales)):
            blocks: list[ResidualUnit | Upsample] = [
                *(ResidualUnit(width, d) for d in unit_dilations), Upsample(width, outputs, stride, leads * hop)]
            context += hop * sum(block.context for block in blocks)
            hop //= stride
            layers += blocks
        self.layers = nn.Sequential(*layers)
        self.context = math.ceil(context / total_hop)

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights that produce the signal."""
        upsample = self.layers[-1]
        assert isinstance(upsample, Upsample)
        return upsample.conv.weight

    def forward(self, z: Float[Tensor, "b d n"]) -> Float[Tensor, "b c t"]:
        return self.layers(self.project(z))
