"""One-dimensional convolutional encoder and decoder that work at any length and stitch exactly."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class Conv(nn.Conv1d):
    """A convolution that, without gradients on a CPU, gives the same bits whatever the batch and the length.

    How oneDNN rounds depends on both, which now and then flips a nearest code. One matrix product over frames,
    with channels last so that no vector instruction ends within a frame, does not; and it is faster.
    """

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b e n"]:
        if torch.is_grad_enabled() or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        weight = self.weight.permute(2, 1, 0).flatten(0, 1)             # (kernel d, e)
        y = torch.addmm(self.bias, self.taps(x.transpose(1, 2)).reshape(-1, len(weight)), weight)
        return y.unflatten(0, (len(x), x.shape[-1])).transpose(1, 2)

    def taps(self, frames: Float[Tensor, "b n d"]) -> Float[Tensor, "b n k d"]:
        """What each tap of the kernel sees, zeros beyond the ends."""
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        margin = dilation * (kernel // 2)
        frames = F.pad(frames, (0, 0, margin, margin)) if margin else frames
        return frames.unfold(1, 2 * margin + 1, 1)[..., ::dilation].transpose(2, 3)


class ResidualUnit(nn.Module):
    """A dilated convolution and a pointwise one beside the identity, which is where it starts."""

    def __init__(self, width: int, dilation: int, kernel: int = 3):
        super().__init__()
        self.context = dilation * (kernel // 2)
        self.spread = Conv(width, width, kernel, dilation=dilation, padding=self.context)
        self.mix = Conv(width, width, 1)
        nn.init.zeros_(self.mix.weight)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
        return x + self.mix(F.silu(self.spread(F.silu(x))))


class Downsample(nn.Module):
    """Fold `stride` neighbours into the channels, then mix them with their neighbours on both sides."""

    context = 1

    def __init__(self, inputs: int, outputs: int, stride: int, carried: int):
        super().__init__()
        self.stride = stride
        self.mix = carrying(Conv(inputs * stride, outputs, 3, padding=1), carried)

    def forward(self, x: Float[Tensor, "b d t"]) -> Float[Tensor, "b e n"]:
        return self.mix(rearrange(x, "b d (n s) -> b n (d s)", s=self.stride).transpose(1, 2))


class Upsample(nn.Module):
    """The mirror of `Downsample`: mix, then unfold the channels into `stride` neighbours."""

    context = 1

    def __init__(self, inputs: int, outputs: int, stride: int, carried: int):
        super().__init__()
        self.stride = stride
        self.mix = carrying(Conv(inputs, outputs * stride, 3, padding=1), carried)

    def forward(self, x: Float[Tensor, "b d n"]) -> Float[Tensor, "b e t"]:
        return rearrange(self.mix(x), "b (e s) n -> b e (n s)", s=self.stride)


@torch.no_grad()
def carrying(conv: Conv, channels: int) -> Conv:
    """Start a convolution so that its first channels pass through unchanged.

    Folded samples so context the latent, and come back from it, as they are: where the latent is wide enough an
    untrained autoencoder is the identity, and its quantizer starts on the signal itself.
    """
    channels = min(channels, conv.in_channels, conv.out_channels)
    index = torch.arange(channels)
    conv.weight[:channels] = 0
    conv.weight[index, index, conv.kernel_size[0] // 2] = 1
    conv.bias[:channels] = 0
    return conv


class Encoder(nn.Module):
    """Signal to latent: at each scale a `Downsample`, then residual units; lengths must be multiples of the hop.

    `dilations` has one tuple a scale, one number a unit. `context` is how many samples before and after its own
    `hop` samples a frame depends on.
    """

    def __init__(self, leads: int, latent: int, widths: tuple[int, ...], strides: tuple[int, ...],
                 dilations: tuple[tuple[int, ...], ...]):
        super().__init__()
        layers, hop, self.context = [], 1, 0
        for inputs, width, stride, scale in zip((leads, *widths[:-1]), widths, strides, dilations, strict=True):
            hop *= stride
            blocks = [Downsample(inputs, width, stride, leads * hop), *(ResidualUnit(width, d) for d in scale)]
            self.context += hop * sum(block.context for block in blocks)
            layers += blocks
        self.layers = nn.Sequential(*layers)
        self.project = carrying(Conv(widths[-1], latent, 1), leads * hop)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.project(self.layers(x))


class Decoder(nn.Module):
    """Latent to signal: the encoder's mirror, its scales in the same order (finest first).

    `context` is how many frames before and after its own a sample depends on.
    """

    def __init__(self, leads: int, latent: int, widths: tuple[int, ...], strides: tuple[int, ...],
                 dilations: tuple[tuple[int, ...], ...]):
        super().__init__()
        hop = whole = math.prod(strides)
        self.project = carrying(Conv(latent, widths[-1], 3, padding=1), leads * hop)
        layers, context = [], whole        # in samples
        scales = zip(widths, (leads, *widths[:-1]), strides, dilations, strict=True)
        for width, outputs, stride, scale in reversed(list(scales)):
            blocks = [*(ResidualUnit(width, d) for d in scale), Upsample(width, outputs, stride, leads * hop)]
            context += hop * sum(block.context for block in blocks)
            hop //= stride
            layers += blocks
        self.layers = nn.Sequential(*layers)
        self.context = math.ceil(context / whole)

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights that make the signal."""
        return self.layers[-1].mix.weight

    def forward(self, z: Float[Tensor, "b d n"]) -> Float[Tensor, "b c t"]:
        return self.layers(self.project(z))
