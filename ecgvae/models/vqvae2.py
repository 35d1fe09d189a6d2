"""VQ-VAE-2: a coarse stream of codes for what is slow, and a fine one for what the coarse one leaves open."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.autoencoder import Reconstruction
from ecgvae.models.backbone import LARGEST_HOP, Part, Stride
from ecgvae.models.quantizer import QuantizerSettings
from ecgvae.models.vqvae import VQVAE, VQVAESettings, quantize
from ecgvae.nn.conv import Conv, carrying


class CoarseSettings(Part):
    """A coarser level: how many frames of the level below one of its own covers, and its books."""

    ratio: Stride = 4
    codebooks: int = Field(1, ge=1, le=64)
    codebook_size: int = Field(1024, ge=2, le=1 << 20)


class VQVAE2Settings(VQVAESettings):
    """A VQ-VAE (the finest level) and the coarser levels above it, from the finest up."""

    family: Literal["vqvae2"] = "vqvae2"
    codebooks: int = Field(1, ge=1, le=64)
    coarse: tuple[CoarseSettings, ...] = Field((CoarseSettings(),), min_length=1, max_length=4)

    @model_validator(mode="after")
    def bounded_hop(self):
        hop = self.backbone.hop * math.prod(level.ratio for level in self.coarse)
        if hop > LARGEST_HOP:
            raise ValueError(f"coarse has ratios that make a hop of {hop}; wanted at most {LARGEST_HOP}")
        for level in self.coarse:
            self.quantizer.check(self.latent, level.codebook_size)
        return self


class VQVAE2(VQVAE):
    """VQ-VAE-2 (Razavi et al. 2019, section 3.1): each level's codes are conditioned on the decoded coarser ones.

    The levels are a stack of autoencoders, each of the latent of the one below. From the coarsest down, a level
    sees its own latent and what the level above expects it to be, codes what that leaves open, and tells the
    level below what to expect. Streams run from coarse to fine. In training any number of the finest level's
    books is kept, none too, and all of the coarser ones.
    """

    def __init__(self, settings: VQVAE2Settings):
        super().__init__(settings)
        backbone, (seeing, decoding), expecting = settings.backbone, self.context, 0
        self.coarse = nn.ModuleList()
        for level in settings.coarse:
            backbone = backbone.coarser(level.ratio)
            self.coarse.append(Coarse(settings.latent, backbone, settings.quantizer, level))
            seeing += self.coarse[-1].encoder.context * self.total_hop
            self.total_hop *= level.ratio
            further = self.coarse[-1].decoder.context     # beyond the coarser codes that these samples begin and end in
            expecting, decoding = ((math.ceil(samples / self.total_hop) + further) * self.total_hop
                                   for samples in (expecting, decoding))
        self.context = seeing + expecting, decoding

    @property
    def levels(self) -> list[tuple[int, nn.Module]]:
        """(hop, quantizer) of every level, finest first."""
        hops = accumulate((self.hop, *(level.ratio for level in self.coarse)), operator.mul)
        return list(zip(hops, (self.quantizer, *(level.quantizer for level in self.coarse)), strict=True))

    @property
    def codebook_specs(self) -> tuple[CodebookSpec, ...]:
        books = (self.settings, *self.settings.coarse)
        levels = [(CodebookSpec(hop, book.codebook_size),) * book.codebooks
                  for (hop, _), book in zip(self.levels, books, strict=True)]
        return tuple(chain.from_iterable(reversed(levels)))

    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        latents, streams = self.latents(x), []

        def code(depth: int, expected: Tensor | None) -> Tensor:
            quantizer = self.levels[depth][1]
            codes = quantizer.encode(self.open(latents, depth, expected))
            streams.extend(codes.unbind(1))
            return quantizer.decode(codes)

        self.descend(x.shape[-1], code)
        return tuple(streams[:codebooks])

    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        left = list(codes)
        if samples is None:
            samples = codes[-1].shape[-1] * self.codebook_specs[len(codes) - 1].hop

        def code(depth: int, expected: Tensor | None) -> Tensor:
            quantizer = self.levels[depth][1]
            own = [left.pop(0) for _ in quantizer.levels[:len(left)]]
            return quantizer.decode(torch.stack(own, 1)) if own else torch.zeros_like(expected)

        return self.decode(self.descend(samples, code), samples)

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: None = None) -> Reconstruction:
        """Items keep the first 0 to q of the finest level's q codebooks in turn."""
        groups = self.settings.codebooks + 1
        active = self.turns(x, groups)
        latents, parts = self.latents(x), []

        def code(depth: int, expected: Tensor | None) -> Tensor:
            parts.append(quantize(self.levels[depth][1], self.open(latents, depth, expected),
                                  active if depth == 0 else None))
            return parts[-1].z

        signal = self.decode(self.descend(x.shape[-1], code), x.shape[-1]).float()
        return Reconstruction(signal, mean(part.losses for part in parts), mean(part.stats for part in parts), groups)

    def latents(self, x: Float[Tensor, "b c t"]) -> list[Float[Tensor, "b d n"]]:
        """Every level's latent, finest first."""
        latents = [self.encode(x)]
        for level in self.coarse:
            latents.append(level.encoder(self.whole_frames(latents[-1], level.ratio)))
        return latents

    def open(self, latents: list[Tensor], depth: int, expected: Tensor | None) -> Float[Tensor, "b d n"]:
        """What a level has to code of its latent."""
        return latents[depth] if expected is None else self.coarse[depth].join(torch.cat([latents[depth], expected], 1))

    def descend(self, samples: int, code: Callable[[int, Tensor | None], Tensor]) -> Float[Tensor, "b d n"]:
        """The finest latent, from the coarsest level down; `code` gives a level's own part, given what is expected."""
        expected = None
        for depth in reversed(range(len(self.coarse) + 1)):
            z = code(depth, expected)
            if expected is not None:
                z = self.coarse[depth].merge(torch.cat([z, expected], 1))
            if depth:
                expected = self.coarse[depth - 1].decoder(z)[..., :-(-samples // self.levels[depth - 1][0])]
        return z


class Coarse(nn.Module):
    """An autoencoder of the latent of the level below, and how that level uses what is expected of it."""

    def __init__(self, latent: int, backbone, quantizer: QuantizerSettings, level: CoarseSettings):
        super().__init__()
        self.ratio = level.ratio
        self.encoder = backbone.build_encoder(latent, latent)
        self.decoder = backbone.build_decoder(latent, latent)
        self.quantizer = quantizer.build(latent, level.codebook_size, level.codebooks)
        self.join, self.merge = paired(latent, -1), paired(latent, 1)


@torch.no_grad()
def paired(channels: int, sign: int) -> Conv:
    """A pointwise map of two latents side by side that starts as their sum or difference."""
    conv = carrying(Conv(2 * channels, channels, 1), channels)
    index = torch.arange(channels)
    conv.weight[index, channels + index, 0] = sign
    return conv


def mean(parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Of several dicts with the same keys, the mean of each value."""
    parts = list(parts)
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
