"""Finite scalar quantization: codes are the points of a fixed grid (Mentzer et al. 2023), so there is no book."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.codebook import agreed, gathered, joined

LEAST, MOST = 3, 16     # values along a dimension
DIRECTIONS = 64         # that values are seen from to tell how even they are


def factorizations(size: int, least: int = LEAST) -> Iterator[tuple[int, ...]]:
    """Every way to write a size as a product of rising numbers from LEAST to MOST."""
    if least <= size <= MOST:
        yield (size,)
    for first in range(least, min(math.isqrt(size), MOST) + 1):
        if size % first == 0:
            yield from ((first, *rest) for rest in factorizations(size // first, first))


def grid_of(size: int, dim: int) -> tuple[int, ...]:
    """How many values along each of at most `dim` dimensions: of product `size`, as near 4 as can be, falling."""
    ways = [way for way in factorizations(size) if len(way) <= dim]
    if not ways:
        raise ValueError(f"fsq with {size} codes in {dim} dimensions; wanted a product of at most {dim} numbers "
                         f"from {LEAST} to {MOST}, such as {4 ** min(dim, 5)}")
    return min(ways, key=lambda way: sum(abs(values - 4) for values in way))[::-1]


class Grid:
    """Points -(l // 2) ... (l - 1) // 2 along each dimension of l values; a code is a point's mixed-radix number."""

    def __init__(self, sides: tuple[int, ...], like: Tensor):
        self.sides = like.new_tensor(sides)
        self.low = self.sides // 2
        self.radix = torch.cumprod(F.pad(self.sides[:-1], (1, 0), value=1), 0)
        self.context = (self.sides - 1) * 1.001 / 2
        self.offset = (self.sides + 1) % 2 / 2
        self.shift = torch.atanh(self.offset / self.context)

    def bounded(self, x: Float[Tensor, "... g"]) -> Float[Tensor, "... g"]:
        """Values that round to points (Mentzer et al. 2023, appendix A.1)."""
        return torch.tanh(x + self.shift) * self.context - self.offset

    def even(self, rows: int) -> Float[Tensor, "r g"]:
        """Random values that round to all points alike: uniform, but in half the room where a side ends."""
        sides = self.sides.to(self.offset)
        values = (torch.rand(rows, len(sides), device=sides.device) - 0.5) * sides
        beyond = (values.abs() - (sides - 2) / 2).clamp_min(0)
        return values - beyond / 2 * values.sign() - self.offset

    def code(self, point: Float[Tensor, "... g"]) -> Int[Tensor, "..."]:
        return ((point + self.low) * self.radix).sum(-1).long()

    def point(self, code: Int[Tensor, "..."]) -> Float[Tensor, "... g"]:
        return code.unsqueeze(-1) // self.radix % self.sides - self.low


class ScalarQuantizer(nn.Module):
    """The latent projected to a few dimensions, each rounded to one of a few values (Mentzer et al. 2023, section 3).

    The decoder's gradient moves the latent and the projections, and the loss `evenness` leads them to use all points
    alike. Projections are centred and spread by running averages, so that at any scale of the latent, hence at any
    residual level, tanh fills the grid about evenly. The first training batch starts them at its principal axes, and
    the way back by least squares.
    """

    def __init__(self, dim: int, size: int):
        super().__init__()
        self.size, self.sides = size, grid_of(size, dim)
        self.enter = nn.Linear(dim, len(self.sides), bias=False)
        self.leave = nn.Linear(len(self.sides), dim)
        self.register_buffer("centre", torch.zeros(len(self.sides)))
        self.register_buffer("spread", torch.ones(len(self.sides)))     # mean distance from the centre
        self.register_buffer("scale", torch.tensor(1.0))    # of the first rows, so that weights are of order one
        self.register_buffer("started", torch.tensor(False))

    def quantize(self, rows: Float[Tensor, "r d"], source: Float[Tensor, "r d"]) -> tuple[Tensor, Tensor, dict]:
        """Quantized rows, codes and, in training, how uneven they are; `source` takes the gradient of that."""
        if self.training and not self.started:
            self.start(source.detach())
        grid, entered = Grid(self.sides, rows), self.enter(rows)
        values, losses = self.bounded(entered, grid), {}
        if self.training:
            losses["evenness"] = unevenness(self.bounded(self.enter(source), grid), grid)
            self.follow(gathered(entered.detach()), 0.99)
        point = values.round().detach()
        return self.back(values + (point - values).detach(), grid), grid.code(point), losses

    def nearest(self, rows: Float[Tensor, "r d"]) -> Int[Tensor, "r"]:
        grid = Grid(self.sides, rows)
        return grid.code(self.bounded(self.enter(rows), grid).round())

    def decode(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... d"]:
        grid = Grid(self.sides, self.scale)
        return self.back(grid.point(codes), grid)

    def bounded(self, entered: Float[Tensor, "r g"], grid: Grid) -> Float[Tensor, "r g"]:
        return grid.bounded((entered - self.centre) / self.spread.clamp_min(1e-9) - grid.shift)

    def back(self, points: Float[Tensor, "... g"], grid: Grid) -> Float[Tensor, "... d"]:
        return self.leave(points / grid.low) * self.scale

    @torch.no_grad()
    def start(self, rows: Float[Tensor, "r d"]) -> None:
        rows, grid = gathered(rows), Grid(self.sides, rows)
        deviation = rows - rows.mean(0)
        axes = torch.linalg.eigh(deviation.T @ deviation).eigenvectors.T.flip(0)[:len(self.sides)]
        self.enter.weight.copy_(agreed(axes.contiguous()))
        self.follow(self.enter(rows), 0)
        points = self.bounded(self.enter(rows), grid).round() / grid.low
        self.scale.copy_(rows.std().clamp_min(1e-9))
        way = agreed(torch.linalg.pinv(F.pad(points, (0, 1), value=1)) @ rows / self.scale)
        self.leave.weight.copy_(way[:-1].T)
        self.leave.bias.copy_(way[-1])
        self.started.fill_(True)

    def follow(self, entered: Float[Tensor, "r g"], keep: float) -> None:
        self.centre.lerp_(entered.mean(0), 1 - keep)
        self.spread.lerp_((entered - self.centre).abs().mean(0), 1 - keep)


def unevenness(values: Float[Tensor, "r g"], grid: Grid) -> Float[Tensor, ""]:
    """Squared sliced Wasserstein distance (Bonneel et al. 2015, section 2.3) to values that use all points alike.

    In units of half a side.
    """
    every = joined(values / grid.context)
    even = grid.even(len(every)) / grid.context
    directions = F.normalize(torch.randn(len(grid.sides), DIRECTIONS, device=values.device), dim=0)
    return ((every @ directions).sort(0).values - (even @ directions).sort(0).values).square().mean()
