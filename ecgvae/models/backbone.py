"""Settings of the encoder and decoder of every family, convolutional or transformer, and their sizes by name."""

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from ecgvae.nn import conv, transformer
from ecgvae.settings import Settings

MAX_HOP = 4096        # samples
MAX_HEAD_WINDOW = 1 << 20       # patches times channels of a head, on which the size of rotary tables depends
Stride = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=1, le=1 << 14)]
Encoder: TypeAlias = conv.Encoder | transformer.Encoder
Decoder: TypeAlias = conv.Decoder | transformer.Decoder
Dilations = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(max_length=16)]


class ConvScales(Settings):
    """Scales of a convolutional encoder or decoder, finest first: channels, and dilations of the residual units."""

    widths: tuple[Width, ...] = Field((128, 192), min_length=1, max_length=8)
    dilations: tuple[Dilations, ...] = Field(((1,), (1, 3)), min_length=1, max_length=8)


class ConvSettings(Settings):
    """A convolutional backbone: strided convolutions and residual units; see `ecgvae.nn.conv`."""

    kind: Literal["conv"] = "conv"
    strides: tuple[Stride, ...] = Field((4, 2), min_length=1, max_length=8)
    encoder: ConvScales = ConvScales()
    decoder: ConvScales = ConvScales()

    @model_validator(mode="after")
    def _check_scales(self):
        if self.hop > MAX_HOP:
            raise ValueError(f"strides multiply to a hop of {self.hop}; wanted at most {MAX_HOP}")
        for name in ("encoder", "decoder"):
            scales = getattr(self, name)
            if not len(self.strides) == len(scales.widths) == len(scales.dilations):
                raise ValueError(f"{name} has {len(scales.widths)} widths and {len(scales.dilations)} dilations; "
                                 f"it must have one of each for the {len(self.strides)} strides")
        return self

    @property
    def hop(self) -> int:
        return math.prod(self.strides)

    def build_encoder(self, inputs: int, outputs: int) -> conv.Encoder:
        return conv.Encoder(inputs, outputs, self.encoder.widths, self.strides, self.encoder.dilations)

    def build_decoder(self, inputs: int, outputs: int) -> conv.Decoder:
        return conv.Decoder(outputs, inputs, self.decoder.widths, self.strides, self.decoder.dilations)

    def for_coarser_level(self, ratio: int) -> "ConvSettings":
        """A backbone with one scale, the coarsest of this one, that merges `ratio` of its frames into one."""
        coarsest = {name: {"widths": getattr(self, name).widths[-1:], "dilations": getattr(self, name).dilations[-1:]}
                    for name in ("encoder", "decoder")}
        return ConvSettings(strides=(ratio,), **coarsest)


class TransformerSettings(Settings):
    """A transformer backbone: patches of `hop` samples, and blocks that attend to `window` patches on either side."""

    kind: Literal["transformer"] = "transformer"
    hop: int = Field(8, ge=1, le=MAX_HOP)
    width: Width = 144
    layers: int = Field(2, ge=1, le=64)
    heads: int = Field(3, ge=1, le=64)
    window: int = Field(32, ge=1, le=4096)

    @model_validator(mode="after")
    def _check_heads(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width is {self.width}; wanted a multiple of twice the {self.heads} heads")
        if self.window * self.width // self.heads > MAX_HEAD_WINDOW:
            raise ValueError(f"window is {self.window} with {self.width // self.heads} channels of a head; wanted a "
                             f"product of at most {MAX_HEAD_WINDOW}")
        return self

    def build_encoder(self, inputs: int, outputs: int) -> transformer.Encoder:
        return transformer.Encoder(inputs, outputs, self.hop, self.width, self.layers, self.heads, self.window)

    def build_decoder(self, inputs: int, outputs: int) -> transformer.Decoder:
        return transformer.Decoder(inputs, outputs, self.hop, self.width, self.layers, self.heads, self.window)

    def for_coarser_level(self, ratio: int) -> "TransformerSettings":
        """A backbone with one layer that merges `ratio` of this one's frames into one."""
        return self.model_copy(update={"hop": ratio, "layers": 1, "window": max(1, self.window // ratio)})


def symmetric(widths: tuple[int, ...], *dilations: tuple[int, ...]) -> ConvSettings:
    """A convolutional backbone whose encoder and decoder have the same scales."""
    scales = ConvScales(widths=widths, dilations=dilations)
    return ConvSettings(encoder=scales, decoder=scales)


SIZES: dict[str, ConvSettings | TransformerSettings] = {
    "conv-tiny": symmetric((32, 32), (1,), (1,)),
    "conv-small": ConvSettings(),
    "conv-base": symmetric((256, 512), (1, 3), (1, 3, 9, 1)),
    "transformer-tiny": TransformerSettings(width=32, layers=1, heads=2, window=16),
    "transformer-small": TransformerSettings(),
    "transformer-base": TransformerSettings(width=384, layers=4, heads=6, window=64),
}
KINDS = ("conv", "transformer")


def backbone_by_name(value: Any) -> Any:
    """The backbone of a name in `SIZES`; a kind alone means its small size, a block without a kind is conv."""
    if isinstance(value, dict):
        return {"kind": "conv", **value}
    if not isinstance(value, str):
        return value
    name = f"{value}-small" if value in KINDS else value
    if name not in SIZES:
        raise ValueError(f"wanted one of {', '.join((*KINDS, *SIZES))}, or a block of settings")
    return SIZES[name]


Backbone = Annotated[ConvSettings | TransformerSettings, Field(discriminator="kind"),
                     BeforeValidator(backbone_by_name)]
