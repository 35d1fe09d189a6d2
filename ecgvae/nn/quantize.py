"""Vector quantization: books that follow the data, one or several that refine each other; no one-hot matrices."""

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.nearest import nearest


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


def summed(*tensors: Tensor) -> None:
    """Add up statistics over all processes, in place."""
    if dist.is_available() and dist.is_initialized():
        for tensor in tensors:
            dist.all_reduce(tensor)


def gathered(rows: Float[Tensor, "r d"]) -> Float[Tensor, "s d"]:
    """The rows of all processes, in rank order; every process must bring as many."""
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def kmeans(rows: Float[Tensor, "r d"], size: int, rounds: int = 10) -> Float[Tensor, "k d"]:
    """Lloyd's algorithm from randomly picked rows; an empty cluster moves to a random row."""
    def pick(count):
        return rows[torch.randint(len(rows), (count,), device=rows.device)]
    centres = rows[torch.randperm(len(rows), device=rows.device)[:size]]
    if len(centres) < size:
        centres = torch.cat([centres, pick(size - len(centres))])
    for _ in range(rounds):
        codes = nearest(rows, centres)
        counts = torch.bincount(codes, minlength=size)
        sums = torch.zeros_like(centres).index_add_(0, codes, rows)
        empty = counts == 0
        centres = sums / counts.clamp_min(1).unsqueeze(1)
        centres[empty] = pick(int(empty.sum()))
    return centres


class Codebook(nn.Module):
    """K vectors and how they follow the data: by exponential moving averages, or by gradient if `decay` is None.

    The first training batch starts the codes by k-means. A code whose average use falls below `revive` times
    an even share of the rows moves to a row of the batch, and its average with it, so that it stays (cf.
    Dhariwal et al. 2020, section 2.2). `normalize` compares and gives codes on the unit sphere.
    """

    def __init__(self, dim: int, size: int, decay: float | None = 0.99, normalize: bool = False, revive: float = 0.05):
        super().__init__()
        self.size, self.decay, self.normalize, self.revive = size, decay, normalize, revive
        if decay is None:
            self.codes = nn.Parameter(torch.randn(size, dim))
        else:
            self.register_buffer("codes", torch.randn(size, dim))
        self.register_buffer("use", torch.ones(size))       # average rows a code gets in a batch
        self.register_buffer("started", torch.tensor(False))

    def shaped(self, rows: Tensor) -> Tensor:
        return F.normalize(rows, dim=-1) if self.normalize else rows

    @property
    def vectors(self) -> Float[Tensor, "k d"]:
        return self.shaped(self.codes)

    def forward(self, rows: Float[Tensor, "r d"]) -> tuple[Int[Tensor, "r"], Float[Tensor, "r d"]]:
        """Codes and their vectors; in training the book then follows the rows."""
        if self.training and not self.started:
            self.start(rows.detach())
        codes = nearest(rows, self.vectors)
        vectors = F.embedding(codes, self.vectors)
        if self.training:
            self.follow(rows.detach(), codes)
        return codes, vectors

    @torch.no_grad()
    def start(self, rows: Tensor) -> None:
        rows = gathered(rows)
        self.place(torch.arange(self.size, device=rows.device), kmeans(rows, self.size), len(rows) / self.size)
        self.started.fill_(True)

    @torch.no_grad()
    def follow(self, rows: Tensor, codes: Tensor) -> None:
        """One step of the averages (van den Oord et al. 2017, appendix A.1), then revival of unused codes.

        The running sum of a code's rows is its vector times its use, so it needs no buffer of its own.
        """
        counts = torch.bincount(codes, minlength=self.size).to(rows)
        summed(counts)
        keep = 0.99 if self.decay is None else self.decay
        use = keep * self.use + (1 - keep) * counts
        if self.decay is not None:
            sums = torch.zeros_like(self.codes).index_add_(0, codes, rows)
            summed(sums)
            moved = (keep * self.use.unsqueeze(1) * self.codes + (1 - keep) * sums) / use.clamp_min(1e-9).unsqueeze(1)
            self.codes.copy_(torch.where((counts > 0).unsqueeze(1), moved, self.codes))
        self.use.copy_(use)
        share = counts.sum() / self.size
        dead = (use < self.revive * share).nonzero().squeeze(1)
        if len(dead):
            rows = gathered(rows)
            self.place(dead, rows[torch.randint(len(rows), (len(dead),), device=rows.device)], share)

    def place(self, index: Tensor, vectors: Tensor, use: Tensor | float) -> None:
        """Put codes somewhere new, the same on every process, as if they had always been there."""
        if dist.is_available() and dist.is_initialized():
            dist.broadcast(vectors, 0)
        self.codes.data[index] = vectors
        self.use[index] = use


class VectorQuantizer(nn.Module):
    """Nearest code in a learned book (van den Oord et al. 2017, eq. 1-3).

    `code_dim` looks codes up in a space of fewer dimensions, `normalize` by cosine (Yu et al. 2022, section 3.2).
    Losses are mean squares: `commitment` pulls the latent to its code, `codebook` (only without `decay`) the
    code to the latent. `gradient` is how the decoder's gradient passes: "straight-through" or "rotation".
    """

    def __init__(self, dim: int, size: int, code_dim: int | None = None, normalize: bool = False,
                 decay: float | None = 0.99, revive: float = 0.05, gradient: str = "straight-through"):
        super().__init__()
        if gradient not in GRADIENTS:
            raise ValueError(f"gradient is {gradient!r}; it must be one of {', '.join(GRADIENTS)}")
        self.gradient = gradient
        factorized = code_dim is not None and code_dim != dim
        self.enter = nn.Linear(dim, code_dim) if factorized else nn.Identity()
        self.leave = nn.Linear(code_dim, dim) if factorized else nn.Identity()
        self.book = Codebook(code_dim or dim, size, decay, normalize, revive)

    def forward(self, z: Float[Tensor, "b d n"]) -> Quantized:
        rows = rearrange(z, "b d n -> (b n) d").float()
        quantized, codes, losses = self.quantize(rows, rows)
        quantized = rearrange(quantized, "(b n) d -> b d n", b=len(z))
        stats = {"perplexity": perplexity(codes, self.book.size)}
        return Quantized(quantized, rearrange(codes, "(b n) -> b 1 n", b=len(z)), losses, stats)

    def quantize(self, rows: Tensor, source: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Quantized rows, codes and losses; `source` equals the rows and takes the commitment's gradient."""
        target = self.book.shaped(self.enter(source))
        codes, vectors = self.book(target)
        losses = {"commitment": F.mse_loss(target, vectors.detach())}
        if self.book.decay is None:
            losses["codebook"] = F.mse_loss(vectors, target.detach())
        entered = target if rows is source else self.book.shaped(self.enter(rows))
        return self.leave(GRADIENTS[self.gradient](entered, vectors)), codes, losses

    def decode(self, codes: Int[Tensor, "b n"]) -> Float[Tensor, "b n d"]:
        return self.leave(F.embedding(codes, self.book.vectors))


class ResidualVectorQuantizer(nn.Module):
    """Each book quantizes what the books before it left over (Zeghidour et al. 2021, section III.C).

    In training every item may use its own number of books (`active`), so that any first few books decode.
    Every level's commitment reaches the encoder; the decoder's gradient passes once.
    """

    def __init__(self, dim: int, size: int, codebooks: int, **settings):
        super().__init__()
        self.levels = nn.ModuleList(VectorQuantizer(dim, size, **settings) for _ in range(codebooks))

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
        uses = torch.stack([perplexity(level, self.levels[0].book.size) for level in every])
        return Quantized(rearrange(total, "(b n) d -> b d n", b=len(z)), codes, losses, {"perplexity": uses.mean()})

    def encode(self, z: Float[Tensor, "b d n"], codebooks: int | None = None) -> Int[Tensor, "b q n"]:
        residual, codes = rearrange(z, "b d n -> (b n) d").float(), []
        for level in self.levels[:codebooks]:
            codes.append(nearest(level.book.shaped(level.enter(residual)), level.book.vectors))
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
