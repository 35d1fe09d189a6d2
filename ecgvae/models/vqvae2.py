"""VQ-VAE-2: coarse codebooks for what changes slowly, and fine ones for what the coarse ones leave."""

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.autoencoder import Reconstruction, encoder_outputs
from ecgvae.models.backbone import MAX_HOP, ConvSettings, Stride, TransformerSettings
from ecgvae.models.quantizer import QuantizerSettings
from ecgvae.models.vqvae import VQVAE, VQVAESettings, nearest_vectors, quantize_float32
from ecgvae.nn.conv import Conv, identity_init
from ecgvae.nn.quantize import Quantized, ResidualVectorQuantizer
from ecgvae.settings import Settings


class CoarseSettings(Settings):
    """A coarser level: how many frames of the level below one of its frames covers, and its codebooks."""

    ratio: Stride = 4
    codebooks: int = Field(1, ge=1, le=64)
    codebook_size: int = Field(1024, ge=2, le=1 << 20)


class VQVAE2Settings(VQVAESettings):
    """A VQ-VAE (the finest level) and the coarser levels above it, from the finest up."""

    family: Literal["vqvae2"] = "vqvae2"  # type: ignore[assignment]
    codebooks: int = Field(1, ge=1, le=64)
    coarse: tuple[CoarseSettings, ...] = Field((CoarseSettings(),), min_length=1, max_length=4)

    @model_validator(mode="after")
    def _check_hop(self):
        hop = self.backbone.hop * math.prod(level.ratio for level in self.coarse)
        if hop > MAX_HOP:
            raise ValueError(f"coarse has ratios that make a hop of {hop}; wanted at most {MAX_HOP}")
        for level in self.coarse:
            self.quantizer.check_size(self.latent, level.codebook_size)
        return self


class VQVAE2(VQVAE):
    """VQ-VAE-2 (Razavi et al. 2019, section 3.1): the codes of a level are conditioned on the decoded coarser ones.

    The levels are a stack of autoencoders, each of the latent of the level below. From the coarsest down, a level
    takes its latent and the prediction that the level above makes of it, quantizes what the prediction leaves, and
    predicts the latent of the level below. Codebooks are ordered from coarse to fine. In training any number of
    the finest level's codebooks is used, from none to all, and all of the coarser ones.
    """

    coarse: Any         # a ModuleList of CoarseLevel

    def __init__(self, settings: VQVAE2Settings):
        super().__init__(settings)
        backbone, (encoder_context, decoder_context), prediction_context = settings.backbone, self.context, 0
        self.coarse = nn.ModuleList()
        for level_settings in settings.coarse:
            backbone = backbone.for_coarser_level(level_settings.ratio)
            level = CoarseLevel(settings.latent, backbone, settings.quantizer, level_settings)
            self.coarse.append(level)
            encoder_context += level.encoder.context * self.total_hop
            self.total_hop *= level_settings.ratio
            # the coarse frames that cover these samples, and the frames that those depend on
            prediction_context, decoder_context = (
                (math.ceil(samples / self.total_hop) + level.decoder.context) * self.total_hop
                for samples in (prediction_context, decoder_context))
        self.context = encoder_context + prediction_context, decoder_context

    @property
    def levels(self) -> list[tuple[int, ResidualVectorQuantizer]]:
        """(hop, quantizer) of every level, finest first."""
        hops = accumulate((self.hop, *(level.ratio for level in self.coarse)), operator.mul)
        return list(zip(hops, (self.quantizer, *(level.quantizer for level in self.coarse)), strict=True))

    @property
    def codebook_specs(self) -> tuple[CodebookSpec, ...]:
        settings = (self.settings, *self.settings.coarse)
        levels = [(CodebookSpec(hop, level.codebook_size),) * level.codebooks
                  for (hop, _), level in zip(self.levels, settings, strict=True)]
        return tuple(chain.from_iterable(reversed(levels)))

    def code_vectors(self) -> tuple[Float[Tensor, "_ d"], ...]:
        return tuple(chain.from_iterable(quantizer.code_vectors() for _, quantizer in reversed(self.levels)))

    def layer_outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[tuple[str, Float[Tensor, "b _ _"]]]:
        latents = [(yield from encoder_outputs(self.encoder, self.to_model_input(x)))]
        yield "latent", latents[0]
        prefixes = ["", *(f"coarse{number}." for number in range(1, len(self.coarse) + 1))]
        for level, prefix in zip(self.coarse, prefixes[1:], strict=True):
            padded = self.pad_to_frames(latents[-1], level.ratio)
            latents.append((yield from encoder_outputs(level.encoder, padded, prefix)))
            yield f"{prefix}latent", latents[-1]
        quantized: dict[int, Tensor] = {}

        def quantize(index: int, prediction: Tensor | None) -> Tensor:
            quantized[index] = nearest_vectors(self.levels[index][1], self.pre_quantize(latents, index, prediction))
            return quantized[index]

        self.top_down(x.shape[-1], quantize)
        for index, prefix in enumerate(prefixes):
            yield f"{prefix}quantized", quantized[index]

    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        latents = self.latents(x)
        all_codes: list[Tensor] = []

        def quantize(index: int, prediction: Tensor | None) -> Tensor:
            quantizer = self.levels[index][1]
            codes = quantizer.encode(self.pre_quantize(latents, index, prediction))
            all_codes.extend(codes.unbind(1))
            return quantizer.decode(codes)

        self.top_down(x.shape[-1], quantize)
        return tuple(all_codes[:codebooks])

    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        remaining = list(codes)
        if samples is None:
            samples = codes[-1].shape[-1] * self.codebook_specs[len(codes) - 1].hop

        def quantize(index: int, prediction: Tensor | None) -> Tensor:
            quantizer = self.levels[index][1]
            level_codes = [remaining.pop(0) for _ in quantizer.quantizers[:len(remaining)]]
            if level_codes:
                return quantizer.decode(torch.stack(level_codes, 1))
            assert prediction is not None, "the coarsest level has codes"
            return torch.zeros_like(prediction)

        return self.decode(self.top_down(samples, quantize), samples)

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: None = None) -> Reconstruction:
        """Items use the first 0 to q of the finest level's q codebooks in turn."""
        groups = self.settings.codebooks + 1
        active = self.assign_groups(x, groups)
        latents = self.latents(x)
        results: list[Quantized] = []

        def quantize(index: int, prediction: Tensor | None) -> Tensor:
            results.append(quantize_float32(self.levels[index][1], self.pre_quantize(latents, index, prediction),
                                            active if index == 0 else None))
            return results[-1].z

        signal = self.decode(self.top_down(x.shape[-1], quantize), x.shape[-1]).float()
        losses, stats = (mean_by_name(values) for values in zip(*((r.losses, r.stats) for r in results), strict=True))
        return Reconstruction(signal, losses, stats, groups)

    def latents(self, x: Float[Tensor, "b c t"]) -> list[Float[Tensor, "b d n"]]:
        """The latent of every level, finest first."""
        latents = [self.encode(x)]
        for level in self.coarse:
            latents.append(level.encoder(self.pad_to_frames(latents[-1], level.ratio)))
        return latents

    def pre_quantize(self, latents: list[Tensor], index: int, prediction: Tensor | None) -> Float[Tensor, "b d n"]:
        """The part of a level's latent that its quantizer gets: what the prediction leaves of it."""
        if prediction is None:
            return latents[index]
        return self.coarse[index].pre_quantize(torch.cat([latents[index], prediction], 1))

    def top_down(self, samples: int, quantize: Callable[[int, Tensor | None], Tensor]) -> Float[Tensor, "b d n"]:
        """The finest latent, computed from the coarsest level down.

        Args:
            samples: Length of the signal.
            quantize: Gives the quantized part of a level from its index (0 is the finest) and its prediction.
        """
        prediction: Tensor | None = None
        for index in reversed(range(len(self.coarse) + 1)):
            z = quantize(index, prediction)
            if prediction is not None:
                z = self.coarse[index].post_quantize(torch.cat([z, prediction], 1))
            if index:
                prediction = self.coarse[index - 1].decoder(z)[..., :-(-samples // self.levels[index - 1][0])]
        return z


class CoarseLevel(nn.Module):
    """An autoencoder of the latent of the level below, and convolutions that combine it with its prediction."""

    def __init__(self, latent: int, backbone: ConvSettings | TransformerSettings, quantizer: QuantizerSettings,
                 level: CoarseSettings):
        super().__init__()
        self.ratio = level.ratio
        self.encoder = backbone.build_encoder(latent, latent)
        self.decoder = backbone.build_decoder(latent, latent)
        self.quantizer = quantizer.build(latent, level.codebook_size, level.codebooks)
        self.pre_quantize, self.post_quantize = sum_init(latent, -1), sum_init(latent, 1)


@torch.no_grad()
def sum_init(channels: int, sign: int) -> Conv:
    """A pointwise map of two concatenated latents that starts as their sum (sign 1) or difference (sign -1)."""
    conv = identity_init(Conv(2 * channels, channels, 1), channels)
    index = torch.arange(channels)
    conv.weight[index, channels + index, 0] = sign
    return conv


def mean_by_name(values: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each value over several dicts with the same keys."""
    values = list(values)
    return {name: torch.as_tensor(sum(terms[name] for terms in values) / len(values)) for name in values[0]}
