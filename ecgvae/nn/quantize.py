"""Quantizers of latents: by codes of a book or points of a grid, in one level or in several that refine each other.

A level quantizes rows: `size` codes, `quantize`, `nearest` and `decode`. `ResidualVectorQuantizer` makes levels
of any kind in `LEVELS` into the quantizer of a latent (b, d, n).
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.codebook import Codebook, LinearCodebook
from ecgvae.nn.nearest import nearest
from ecgvae.nn.scalar import ScalarQuantizer


@dataclass(frozen=True)
class Quantized:
    """What a quantizer gives: the quantized latent, its codes, loss terms and statistics by name."""

    z: Float[Tensor, "b d n"]
    codes: Int[Tensor, "b q n"]
    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)


def straight_through(z: Tensor, quantized: Tensor) -> Tensor:
    """The quantized value forward, the identity backward (van den Oord et al. 2017)."""
    return z + (quantized - z).detach()


def rotate(z: Float[Tensor, "r d"], quantized: Float[Tensor, "r d"]) -> Float[Tensor, "r d"]:
    """The quantized value forward, the rotation and rescaling from z to it backward (Fifty et al. 2024, eq. 4)."""
    source, target = F.normalize(z, dim=-1).detach(), F.normalize(quantized, dim=-1).detach()
    scale = (quantized.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True).clamp_min(1e-6)).detach()
    middle = F.normalize(source + target, dim=-1)
    rotated = z - 2 * (z * middle).sum(-1, keepdim=True) * middle + 2 * (z * source).sum(-1, keepdim=True) * target
    rotated = scale * rotated
    return quantized.detach() + (rotated - rotated.detach())    # exact even where z is 0 and has no direction


GRADIENTS = {"straight-through": straight_through, "rotation": rotate}


class VectorQuantizer(nn.Module):
    """Nearest code in a book (van den Oord et al. 2017, eq. 1-3).

    A book of fewer dimensions is looked up by a projection (Yu et al. 2022, section 3.2). Losses are mean squares:
    `commitment` pulls the latent to its code, `codebook` (of a book that learns by gradient) the code to the
    latent. `gradient` is how the decoder's gradient passes: "straight-through" or "rotation".
    """

    def __init__(self, dim: int, book: Codebook | LinearCodebook, gradient: str = "straight-through"):
        super().__init__()
        if gradient not in GRADIENTS:
            raise ValueError(f"gradient is {gradient!r}; it must be one of {', '.join(GRADIENTS)}")
        self.gradient, self.size = gradient, book.size
        code_dim = book.codes.shape[1]
        self.enter = nn.Linear(dim, code_dim) if code_dim != dim else nn.Identity()
        self.leave = nn.Linear(code_dim, dim) if code_dim != dim else nn.Identity()
        self.book = book

    def quantize(self, rows: Tensor, source: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Quantized rows, codes and losses; `source` equals the rows and takes the commitment's gradient."""
        target = self.book.shaped(self.enter(source))
        codes, vectors = self.book(target)
        losses = {"commitment": F.mse_loss(target, vectors.detach())}
        if self.book.learned:
            losses["codebook"] = F.mse_loss(vectors, target.detach())
        entered = self.book.shaped(self.enter(rows))
        return self.leave(GRADIENTS[self.gradient](entered, vectors)), codes, losses

    def nearest(self, rows: Float[Tensor, "r d"]) -> Int[Tensor, "r"]:
        return nearest(self.book.shaped(self.enter(rows)), self.book.vectors)

    def decode(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... d"]:
        return self.leave(F.embedding(codes, self.book.vectors))


def vq(dim: int, size: int, code_dim: int | None = None, normalize: bool = False, decay: float | None = 0.99,
       revive: float = 0.5, gradient: str = "straight-through") -> VectorQuantizer:
    """A book whose codes follow the data one by one."""
    return VectorQuantizer(dim, Codebook(code_dim or dim, size, decay, normalize, revive), gradient)


def simvq(dim: int, size: int, code_dim: int | None = None, normalize: bool = False,
          gradient: str = "straight-through") -> VectorQuantizer:
    """A book whose codes follow the data together."""
    return VectorQuantizer(dim, LinearCodebook(code_dim or dim, size, normalize), gradient)


LEVELS = {"vq": vq, "simvq": simvq, "fsq": ScalarQuantizer}


class ResidualVectorQuantizer(nn.Module):
    """Each level quantizes what the levels before it left over (Zeghidour et al. 2021, section III.C).

    In training every item may use its own number of books (`active`), so that any first few books decode.
    Every level's commitment reaches the encoder; the decoder's gradient passes once.
    """

    def __init__(self, dim: int, size: int, codebooks: int = 1, kind: str = "vq", **settings):
        super().__init__()
        if kind not in LEVELS:
            raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(LEVELS)}")
        self.levels = nn.ModuleList(LEVELS[kind](dim, size, **settings) for _ in range(codebooks))

    def forward(self, z: Float[Tensor, "b d n"], active: Int[Tensor, "b"] | None = None) -> Quantized:
        rows = rearrange(z, "b d n -> (b n) d").float()
        active = rows.new_full((len(z),), len(self.levels)) if active is None else active
        active = active.repeat_interleave(z.shape[-1]).unsqueeze(1)
        total, full, every, losses = torch.zeros_like(rows), torch.zeros_like(rows), [], {}
        for index, level in enumerate(self.levels):
            quantized, codes, terms = level.quantize(rows - full, rows - full.detach())
            full = full + quantized
            total = total + quantized * (active > index)
            every.append(codes)
            losses = {name: losses.get(name, 0) + term / len(self.levels) for name, term in terms.items()}
        codes = rearrange(torch.stack(every), "q (b n) -> b q n", b=len(z))
        uses = torch.stack([perplexity(level, self.levels[0].size) for level in every])
        return Quantized(rearrange(total, "(b n) d -> b d n", b=len(z)), codes, losses, {"perplexity": uses.mean()})

    def encode(self, z: Float[Tensor, "b d n"], codebooks: int | None = None) -> Int[Tensor, "b q n"]:
        residual, codes = rearrange(z, "b d n -> (b n) d").float(), []
        for level in self.levels[:codebooks]:
            codes.append(level.nearest(residual))
            residual = residual - level.decode(codes[-1])
        return rearrange(torch.stack(codes), "q (b n) -> b q n", b=len(z))

    def decode(self, codes: Int[Tensor, "b q n"]) -> Float[Tensor, "b d n"]:
        """The sum of the codes' vectors; fewer rows of codes than books is fine."""
        levels = self.levels[:codes.shape[1]]
        vectors = sum(level.decode(book) for level, book in zip(levels, codes.unbind(1), strict=True))
        return rearrange(vectors, "b n d -> b d n")


def perplexity(codes: Int[Tensor, "..."], size: int) -> Tensor:
    """2 to the entropy of the codes' frequencies: how many codes are in even use."""
    share = torch.bincount(codes.flatten(), minlength=size).float() / codes.numel()
    return torch.exp(-torch.xlogy(share, share).sum())
