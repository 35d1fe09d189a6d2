"""VQ-VAE: an autoencoder whose latent is looked up in one codebook, or in several that refine each other."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.autoencoder import QuantizedAutoencoder, Reconstruction, Settings
from ecgvae.models.quantizer import Books, QuantizerSettings
from ecgvae.nn.quantize import Quantized


class VQVAESettings(Settings):
    """A VQ-VAE; `codebooks` above one makes its quantizer residual."""

    family: Literal["vqvae"] = "vqvae"
    codebooks: int = Field(8, ge=1, le=64)
    codebook_size: int = Field(1024, ge=2, le=1 << 20)
    quantizer: QuantizerSettings = Books()

    @model_validator(mode="after")
    def enough_dimensions(self):
        self.quantizer.check(self.latent, self.codebook_size)
        return self


class VQVAE(QuantizedAutoencoder):
    """A VQ-VAE (van den Oord et al. 2017) with a residual quantizer (Zeghidour et al. 2021).

    Its tokens are one stream a codebook, all of one hop; the first few decode by themselves.
    """

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

    @property
    def last_layer(self) -> nn.Parameter:
        return self.decoder.last_layer

    def encode(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return self.encoder(self.whole_frames(x) / self.signal.scale)

    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decoder(z)[..., :samples] * self.signal.scale

    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        return self.quantizer.encode(self.encode(x), codebooks).unbind(1)

    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        return self.decode(self.quantizer.decode(torch.stack(tuple(codes), 1)), samples)

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: None = None) -> Reconstruction:
        """Items keep their first 1 to q codebooks in turn, so that any number of them learns to decode."""
        groups = self.settings.codebooks
        active = self.turns(x, groups) + 1
        quantized = quantize(self.quantizer, self.encode(x), active)
        signal = self.decode(quantized.z, x.shape[-1]).float()
        return Reconstruction(signal, quantized.losses, quantized.stats, groups)

    def turns(self, x: Tensor, groups: int) -> Int[Tensor, "b"]:
        """0 to groups - 1 in turn, in training from a random one on: batches of fewer items context every group too."""
        turn = torch.arange(len(x), device=x.device)
        return (turn + torch.randint(groups, (), device=x.device) if self.training else turn) % groups


def quantize(quantizer: nn.Module, z: Float[Tensor, "b d n"], active: Int[Tensor, "b"] | None = None) -> Quantized:
    """Quantize in full precision, whatever the autocast around it: codes need it."""
    with torch.autocast(z.device.type, enabled=False):
        return quantizer(z.float(), active)
