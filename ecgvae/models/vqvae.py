"""VQ-VAE: an autoencoder whose latent is looked up in one codebook, or in several that refine each other."""

import math
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from ecgvae.models.autoencoder import Autoencoder, Reconstruction, Settings
from ecgvae.nn.conv import Decoder, Encoder
from ecgvae.nn.quantize import ResidualVectorQuantizer

LARGEST_HOP = 4096
Stride = Annotated[int, Field(ge=1, le=64)]
Width = Annotated[int, Field(ge=1, le=1 << 14)]
Dilations = Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(max_length=16)]


class ConvSettings(BaseModel):
    """A convolutional half: channels and the dilations of the residual units at each scale, finest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    widths: tuple[Width, ...] = Field((128, 192), min_length=1, max_length=8)
    dilations: tuple[Dilations, ...] = Field(((1, 3), (1, 3, 9)), min_length=1, max_length=8)


class QuantizerSettings(BaseModel):
    """Books and how they learn; see `ecgvae.nn.quantize.VectorQuantizer`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code_dim: Width | None = None
    normalize: bool = False
    decay: float | None = Field(0.99, gt=0, lt=1)
    revive: float = Field(0.05, ge=0, lt=1)
    gradient: Literal["straight-through", "rotation"] = "straight-through"


class VQVAESettings(Settings):
    """A VQ-VAE; `codebooks` above one makes its quantizer residual."""

    family: Literal["vqvae"] = "vqvae"
    backbone: Literal["conv"] = "conv"
    latent: Width = 64
    codebooks: int = Field(8, ge=1, le=64)
    codebook_size: int = Field(1024, ge=2, le=1 << 20)
    strides: tuple[Stride, ...] = Field((4, 2), min_length=1, max_length=8)
    encoder: ConvSettings = ConvSettings()
    decoder: ConvSettings = ConvSettings()
    quantizer: QuantizerSettings = QuantizerSettings()

    @model_validator(mode="after")
    def one_entry_a_scale(self):
        if math.prod(self.strides) > LARGEST_HOP:
            raise ValueError(f"strides multiply to a hop of {math.prod(self.strides)}; wanted at most {LARGEST_HOP}")
        for name in ("encoder", "decoder"):
            half = getattr(self, name)
            if not len(self.strides) == len(half.widths) == len(half.dilations):
                raise ValueError(f"{name} has {len(half.widths)} widths and {len(half.dilations)} dilations; "
                                 f"it must have one of each for the {len(self.strides)} strides")
        return self


class VQVAE(Autoencoder):
    """A VQ-VAE (van den Oord et al. 2017) with a residual quantizer (Zeghidour et al. 2021).

    Its tokens are one stream a codebook, all of one hop; the first few decode by themselves.
    """

    def __init__(self, settings: VQVAESettings):
        super().__init__(settings)
        leads, strides = len(settings.signal.coded), settings.strides
        self.hop = math.prod(strides)
        self.encoder = Encoder(leads, settings.latent, settings.encoder.widths, strides, settings.encoder.dilations)
        self.decoder = Decoder(leads, settings.latent, settings.decoder.widths, strides, settings.decoder.dilations)
        self.quantizer = ResidualVectorQuantizer(settings.latent, settings.codebook_size, settings.codebooks,
                                                 **settings.quantizer.model_dump())
        self.reach = math.ceil(self.encoder.reach / self.hop), self.decoder.reach

    @property
    def streams(self) -> tuple[tuple[int, int], ...]:
        """(hop, number of codes) of every stream of tokens."""
        return ((self.hop, self.settings.codebook_size),) * self.settings.codebooks

    def encode(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.encoder(self.whole_frames(x) / self.signal.scale)

    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decoder(z)[..., :samples] * self.signal.scale

    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> Int[Tensor, "b q n"]:
        return self.quantizer.encode(self.encode(x), codebooks)

    def detokenize(self, codes: Int[Tensor, "b q n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decode(self.quantizer.decode(codes), samples)

    def forward(self, x: Float[Tensor, "b c t"]) -> Reconstruction:
        """Item i keeps its first i mod q + 1 codebooks, so that any number of them learns to decode."""
        groups = self.settings.codebooks
        active = torch.arange(len(x), device=x.device) % groups + 1
        z = self.encode(x)
        with torch.autocast(x.device.type, enabled=False):      # codes keep full precision
            quantized = self.quantizer(z.float(), active)
        signal = self.decode(quantized.z, x.shape[-1]).float()
        return Reconstruction(signal, quantized.losses, quantized.stats, groups)
