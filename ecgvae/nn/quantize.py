"""Quantizers of latents: vector quantization (EMA, gradient or SimVQ codebooks), FSQ, and residual stacks of them.

A quantizer of rows has `size`, `quantize`, `nearest` and `decode`. `ResidualVectorQuantizer` stacks quantizers of
one kind in `QUANTIZERS` into the quantizer of a latent (b, d, n).
"""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.codebook import Codebook, LinearCodebook
from ecgvae.nn.fsq import ScalarQuantizer
from ecgvae.nn.nearest import nearest


@dataclass(frozen=True)
class Quantized:
    """The result of a quantizer: the quantized latent, its codes, and loss terms and statistics by name."""

    z: Float[Tensor, "b d n"]
    codes: Int[Tensor, "b q n"]
    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The quantized value forward, the identity backward (van den Oord et al. 2017)."""
    return z + (quantized - z).detach()


def rotation_trick(z: Float[Tensor, "r d"], quantized: Float[Tensor, "r d"]) -> Float[Tensor, "r d"]:
    """The quantized value forward, the rotation and rescaling from z to it backward (Fifty et al. 2024, eq. 4)."""
    source, target = F.normalize(z, dim=-1).detach(), F.normalize(quantized, dim=-1).detach()
    scale = (quantized.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True).clamp_min(1e-6)).detach()
    bisector = F.normalize(source + target, dim=-1)
    rotated = z - 2 * (z * bisector).sum(-1, keepdim=True) * bisector + 2 * (z * source).sum(-1, keepdim=True) * target
    rotated = scale * rotated
    return quantized.detach() + (rotated - rotated.detach())    # exact even where z is 0 and has no direction


GRADIENT_ESTIMATORS = {"straight-through": straight_through, "rotation": rotation_trick}


class VectorQuantizer(nn.Module):
    """Maps rows to their nearest code vector (van den Oord et al. 2017, eq. 1-3).

    A codebook of fewer dimensions than the rows is searched through a linear projection (Yu et al. 2022, section
    3.2). The losses are mean squares: `commitment` pulls the latent to its code; `codebook`, of a codebook that
    learns by gradient, pulls the code to the latent.

    Args:
        dim: Dimension of the rows.
        codebook: The codebook to search.
        gradient: How the decoder's gradient passes, "straight-through" or "rotation".
    """

    def __init__(self, dim: int, codebook: Codebook | LinearCodebook, gradient: str = "straight-through"):
        super().__init__()
        if gradient not in GRADIENT_ESTIMATORS:
            raise ValueError(f"gradient is {gradient!r}; it must be one of {', '.join(GRADIENT_ESTIMATORS)}")
        self.gradient, self.size = gradient, codebook.size
        code_dim = codebook.embeddings.shape[1]
        self.project_in = nn.Linear(dim, code_dim) if code_dim != dim else nn.Identity()
        self.project_out = nn.Linear(code_dim, dim) if code_dim != dim else nn.Identity()
        self.codebook = codebook

    def quantize(self, rows: Tensor, source: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Quantized rows, codes and losses.

        `source` equals the rows: the decoder's gradient passes through `rows`, that of the losses through `source`.
        """
        target = self.codebook.normalize_rows(self.project_in(source))
        codes, vectors = self.codebook(target)
        losses = {"commitment": F.mse_loss(target, vectors.detach())}
        if self.codebook.learns_by_gradient:
            losses["codebook"] = F.mse_loss(vectors, target.detach())
        projected = self.codebook.normalize_rows(self.project_in(rows))
        return self.project_out(GRADIENT_ESTIMATORS[self.gradient](projected, vectors)), codes, losses

    def nearest(self, rows: Float[Tensor, "r d"]) -> Int[Tensor, "r"]:
        return nearest(self.codebook.normalize_rows(self.project_in(rows)), self.codebook.vectors)

    def decode(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... d"]:
        return self.project_out(F.embedding(codes, self.codebook.vectors))


def vq(dim: int, size: int, code_dim: int | None = None, normalize: bool = False, decay: float | None = 0.99,
       dead_code_threshold: float = 0.5, gradient: str = "straight-through") -> VectorQuantizer:
    """A vector quantizer whose codes are updated one by one."""
    return VectorQuantizer(dim, Codebook(code_dim or dim, size, decay, normalize, dead_code_threshold), gradient)


def simvq(dim: int, size: int, code_dim: int | None = None, normalize: bool = False,
          gradient: str = "straight-through") -> VectorQuantizer:
    """A vector quantizer whose codes all move through one linear map."""
    return VectorQuantizer(dim, LinearCodebook(code_dim or dim, size, normalize), gradient)


QUANTIZERS: dict[str, Any] = {"vq": vq, "simvq": simvq, "fsq": ScalarQuantizer}


class ResidualVectorQuantizer(nn.Module):
    """A stack of quantizers, each of the residual of the previous ones (Zeghidour et al. 2021, section III.C).

    In training every item may use its own number of codebooks (quantizer dropout, `active`), so that any number of
    the first codebooks decodes. The commitment of every quantizer reaches the encoder; the decoder's gradient
    passes once.

    Args:
        dim: Dimension of the latent.
        size: Number of codes of each codebook.
        codebooks: Number of codebooks.
        kind: A name in `QUANTIZERS`.
        settings: Further arguments of that kind.
    """

    quantizers: Any         # a ModuleList of VectorQuantizer or ScalarQuantizer

    def __init__(self, dim: int, size: int, codebooks: int = 1, kind: str = "vq", **settings):
        super().__init__()
        if kind not in QUANTIZERS:
            raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(QUANTIZERS)}")
        self.quantizers = nn.ModuleList(QUANTIZERS[kind](dim, size, **settings) for _ in range(codebooks))

    def forward(self, z: Float[Tensor, "b d n"], active: Int[Tensor, "b"] | None = None) -> Quantized:
        rows = rearrange(z, "b d n -> (b n) d").float()
        active = rows.new_full((len(z),), len(self.quantizers)) if active is None else active
        active = active.repeat_interleave(z.shape[-1]).unsqueeze(1)
        active_sum, full_sum = torch.zeros_like(rows), torch.zeros_like(rows)      # of active codebooks, and of all
        all_codes: list[Tensor] = []
        losses: dict[str, Tensor] = {}
        for index, quantizer in enumerate(self.quantizers):
            quantized, codes, terms = quantizer.quantize(rows - full_sum, rows - full_sum.detach())
            full_sum = full_sum + quantized
            active_sum = active_sum + quantized * (active > index)
            all_codes.append(codes)
            losses = {name: losses.get(name, 0) + term / len(self.quantizers) for name, term in terms.items()}
        perplexities = torch.stack([perplexity(codes, self.quantizers[0].size) for codes in all_codes])
        return Quantized(rearrange(active_sum, "(b n) d -> b d n", b=len(z)),
                         rearrange(torch.stack(all_codes), "q (b n) -> b q n", b=len(z)),
                         losses, {"perplexity": perplexities.mean()})

    def encode(self, z: Float[Tensor, "b d n"], codebooks: int | None = None) -> Int[Tensor, "b q n"]:
        """Codes of the first `codebooks` codebooks, by default of all."""
        residual, codes = rearrange(z, "b d n -> (b n) d").float(), []
        for quantizer in self.quantizers[:codebooks]:
            codes.append(quantizer.nearest(residual))
            residual = residual - quantizer.decode(codes[-1])
        return rearrange(torch.stack(codes), "q (b n) -> b q n", b=len(z))

    @torch.no_grad()
    def code_vectors(self) -> tuple[Float[Tensor, "k d"], ...]:
        """The vectors of the codes of each codebook."""
        device = next(self.parameters(), torch.empty(0)).device
        return tuple(quantizer.decode(torch.arange(quantizer.size, device=device)) for quantizer in self.quantizers)

    def decode(self, codes: Int[Tensor, "b q n"]) -> Float[Tensor, "b d n"]:
        """The sum of the codes' vectors; the codes may be of the first few codebooks only."""
        quantizers = self.quantizers[:codes.shape[1]]
        vectors: Any = sum(quantizer.decode(row) for quantizer, row in zip(quantizers, codes.unbind(1), strict=True))
        return rearrange(vectors, "b n d -> b d n")


def perplexity(codes: Int[Tensor, "..."], size: int) -> Tensor:
    """2 to the entropy (in bits) of the codes' frequencies: the number of equally used codes of the same entropy."""
    frequencies = torch.bincount(codes.flatten(), minlength=size).float() / codes.numel()
    return torch.exp(-torch.xlogy(frequencies, frequencies).sum())
