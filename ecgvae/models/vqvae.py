"""VQ-VAE: an autoencoder whose latent is quantized by one codebook, or by a residual stack of codebooks."""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.autoencoder import ModelSettings, QuantizedAutoencoder, Reconstruction, encoder_outputs
from ecgvae.models.backbone import Decoder, Encoder
from ecgvae.models.quantizer import Quantizer, VQSettings
from ecgvae.nn.quantize import Quantized, ResidualVectorQuantizer


class VQVAESettings(ModelSettings):
    """A VQ-VAE; with several `codebooks` its quantizer is residual."""

    family: Literal["vqvae"] = "vqvae"
    codebooks: int = Field(8, ge=1, le=64)
    codebook_size: int = Field(1024, ge=2, le=1 << 20)
    quantizer: Quantizer = VQSettings()

    @model_validator(mode="after")
    def _check_quantizer(self):
        self.quantizer.check_size(self.latent, self.codebook_size)
        return self


class VQVAE(QuantizedAutoencoder):
    """A VQ-VAE (van den Oord et al. 2017) with a residual quantizer (Zeghidour et al. 2021).

    Its codebooks have the same hop, and any number of the first ones decodes.
    """

    encoder: Encoder
    decoder: Decoder
    quantizer: ResidualVectorQuantizer

    def __init__(self, settings: VQVAESettings):
        super().__init__(settings)
        leads, backbone = len(settings.signal.coded), settings.backbone
        self.hop = self.total_hop = backbone.hop
        self.encoder = backbone.build_encoder(leads, settings.latent)
        self.decoder = backbone.build_decoder(settings.latent, leads)
        self.quantizer = settings.quantizer.build(settings.latent, settings.codebook_size, settings.codebooks)
        self.context = self.encoder.context, self.decoder.context * self.hop

    @property
    def codebook_specs(self) -> tuple[CodebookSpec, ...]:
        return (CodebookSpec(self.hop, self.settings.codebook_size),) * self.settings.codebooks

    def code_vectors(self) -> tuple[Float[Tensor, "_ d"], ...]:
        return self.quantizer.code_vectors()

    @property
    def last_layer(self) -> nn.Parameter:
        return self.decoder.last_layer

    def encode(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.encoder(self.to_model_input(x))

    def layer_outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[tuple[str, Float[Tensor, "b _ _"]]]:
        z = yield from encoder_outputs(self.encoder, self.to_model_input(x))
        yield "latent", z
        yield "quantized", nearest_vectors(self.quantizer, z)

    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decoder(z)[..., :samples] * self.signal.scale

    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        return self.quantizer.encode(self.encode(x), codebooks).unbind(1)

    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decode(self.quantizer.decode(torch.stack(tuple(codes), 1)), samples)

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: None = None) -> Reconstruction:
        """Items use the first 1 to q codebooks in turn, so that the model learns to decode any number of them.

        If only the quantizer is in evaluation mode, as a frozen one is, all items use all codebooks.
        """
        is_frozen = self.training and not self.quantizer.training
        groups = 1 if is_frozen else self.settings.codebooks
        active = None if is_frozen else self.assign_groups(x, groups) + 1
        quantized = quantize_float32(self.quantizer, self.encode(x), active)
        signal = self.decode(quantized.z, x.shape[-1]).float()
        return Reconstruction(signal, quantized.losses, quantized.stats, groups)

    def assign_groups(self, x: Tensor, groups: int) -> Int[Tensor, "b"]:
        """Group numbers 0 to groups - 1 in rotation, in training from a random start: small batches reach all."""
        index = torch.arange(len(x), device=x.device)
        return (index + torch.randint(groups, (), device=x.device) if self.training else index) % groups


def nearest_vectors(quantizer: ResidualVectorQuantizer, z: Float[Tensor, "b d n"]) -> Float[Tensor, "b d n"]:
    """The vectors of the codes of a latent, whose gradient passes to the latent; in float32 under any autocast."""
    with torch.autocast(z.device.type, enabled=False):
        quantized = quantizer.decode(quantizer.encode(z.float())).detach()
        return quantized + (z.float() - z.float().detach())     # exactly the vectors


def quantize_float32(quantizer: nn.Module, z: Float[Tensor, "b d n"],
                     active: Int[Tensor, "b"] | None = None) -> Quantized:
    """Quantizes in float32 under any autocast: with less precision other codes would be nearest."""
    with torch.autocast(z.device.type, enabled=False):
        return quantizer(z.float(), active)
