"""Books of vectors: what starts them, what makes them follow the data, and how processes agree on them."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.nearest import nearest


def together() -> bool:
    """Whether several processes train at once."""
    return dist.is_available() and dist.is_initialized()


def summed(*tensors: Tensor) -> None:
    """Add up statistics over all processes, in place."""
    if together():
        for tensor in tensors:
            dist.all_reduce(tensor)


def gathered(rows: Float[Tensor, "r d"]) -> Float[Tensor, "s d"]:
    """The rows of all processes, in rank order; every process must bring as many."""
    if not together():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def joined(rows: Float[Tensor, "r d"]) -> Float[Tensor, "s d"]:
    """The rows of all processes, for a loss of them all.

    A process's own rows keep a gradient, times the number of processes: the mean over processes, which training
    takes, is then the gradient that one process with all rows would have.
    """
    if not together():
        return rows
    every, start, world = gathered(rows.detach()), dist.get_rank() * len(rows), dist.get_world_size()
    own = rows.detach() + world * (rows - rows.detach())
    return torch.cat([every[:start], own, every[start + len(rows):]])


def agreed(values: Tensor) -> Tensor:
    """The first process's values, on every process."""
    if together():
        dist.broadcast(values, 0)
    return values


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

    def __init__(self, dim: int, size: int, decay: float | None = 0.99, normalize: bool = False, revive: float = 0.5):
        super().__init__()
        self.size, self.decay, self.normalize, self.revive = size, decay, normalize, revive
        if decay is None:
            self.codes = nn.Parameter(torch.randn(size, dim))
        else:
            self.register_buffer("codes", torch.randn(size, dim))
        self.register_buffer("use", torch.ones(size))       # average rows a code gets in a batch
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("revival", torch.tensor(float(revive), device="cpu"), persistent=False)  # see `settle`

    def shaped(self, rows: Tensor) -> Tensor:
        return F.normalize(rows, dim=-1) if self.normalize else rows

    @property
    def learned(self) -> bool:
        """Whether the codes are moved by a gradient."""
        return self.decay is None

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
        dead = (use < self.revival * share).nonzero().squeeze(1)
        if len(dead):
            rows = gathered(rows)
            self.place(dead, rows[torch.randint(len(rows), (len(dead),), device=rows.device)], share)

    def place(self, index: Tensor, vectors: Tensor, use: Tensor | float) -> None:
        """Put codes somewhere new, the same on every process, as if they had always been there."""
        self.codes.data[index] = agreed(vectors)
        self.use[index] = use


def anneal_revival(model: nn.Module, done: float) -> None:
    """Fade revival out over the second half of a training, so that the codes kept have come to rest."""
    for book in model.modules():
        if isinstance(book, Codebook):
            book.revival.fill_(book.revive * min(1.0, 2 * (1 - done)))


class LinearCodebook(nn.Module):
    """K frozen random vectors and one linear map, learned by gradient, that moves them all (Zhu et al. 2024, SimVQ).

    As every code moves with every other, none is left behind. The first training batch gives the frozen vectors:
    random rows with a tenth of the rows' spread added, so that the map begins as the identity at any scale.
    """

    learned = True

    def __init__(self, dim: int, size: int, normalize: bool = False):
        super().__init__()
        self.size, self.normalize = size, normalize
        self.register_buffer("codes", torch.randn(size, dim))
        self.map = nn.Parameter(torch.eye(dim))
        self.register_buffer("started", torch.tensor(False))

    def shaped(self, rows: Tensor) -> Tensor:
        return F.normalize(rows, dim=-1) if self.normalize else rows

    @property
    def vectors(self) -> Float[Tensor, "k d"]:
        return self.shaped(self.codes @ self.map)

    def forward(self, rows: Float[Tensor, "r d"]) -> tuple[Int[Tensor, "r"], Float[Tensor, "r d"]]:
        """Codes and their vectors."""
        if self.training and not self.started:
            self.start(rows.detach())
        vectors = self.vectors
        codes = nearest(rows, vectors)
        return codes, F.embedding(codes, vectors)

    @torch.no_grad()
    def start(self, rows: Tensor) -> None:
        rows = gathered(rows)
        first, second, third = rows[torch.randint(len(rows), (3, self.size), device=rows.device)]
        self.codes.copy_(agreed(first + 0.07 * (second - third)))   # a difference has twice the rows' variance
        self.started.fill_(True)
