"""Finite scalar quantization: codes are the points of a fixed grid, so there is no codebook (Mentzer et al. 2023)."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.nn.distributed import all_gather, all_gather_with_grad, broadcast

MIN_LEVELS, MAX_LEVELS = 3, 16      # values of one dimension
N_DIRECTIONS = 64                   # random projections of the usage loss
STATISTICS_DECAY = 0.99


def factorizations(size: int, smallest: int = MIN_LEVELS) -> Iterator[tuple[int, ...]]:
    """Every product of ascending factors from MIN_LEVELS to MAX_LEVELS that equals a size."""
    if smallest <= size <= MAX_LEVELS:
        yield (size,)
    for first in range(smallest, min(math.isqrt(size), MAX_LEVELS) + 1):
        if size % first == 0:
            yield from ((first, *rest) for rest in factorizations(size // first, first))


def choose_levels(size: int, dim: int) -> tuple[int, ...]:
    """Levels of at most `dim` dimensions: their product is `size`, each is as near 4 as possible, in descending order.

    Raises:
        ValueError: No such product exists.
    """
    candidates = [levels for levels in factorizations(size) if len(levels) <= dim]
    if not candidates:
        raise ValueError(f"fsq with {size} codes in {dim} dimensions; wanted a product of at most {dim} numbers "
                         f"from {MIN_LEVELS} to {MAX_LEVELS}, such as {4 ** min(dim, 5)}")
    return min(candidates, key=lambda levels: sum(abs(values - 4) for values in levels))[::-1]


class Grid:
    """Points -(l // 2) ... (l - 1) // 2 of every dimension with l levels; a code is a point's mixed-radix number."""

    def __init__(self, levels: tuple[int, ...], like: Tensor):
        self.levels = like.new_tensor(levels)
        self.zero_level = self.levels // 2
        self.radix = torch.cumprod(F.pad(self.levels[:-1], (1, 0), value=1), 0)
        self.half_width = (self.levels - 1) * 1.001 / 2
        self.offset = (self.levels + 1) % 2 / 2
        self.shift = torch.atanh(self.offset / self.half_width)

    def bound(self, x: Float[Tensor, "... g"]) -> Float[Tensor, "... g"]:
        """Maps numbers to the range that rounds to points (Mentzer et al. 2023, appendix A.1)."""
        return torch.tanh(x + self.shift) * self.half_width - self.offset

    def uniform_samples(self, count: int) -> Float[Tensor, "r g"]:
        """Random values that round to every point equally often: uniform, with half-width bins at the ends."""
        levels = self.levels.to(self.offset)
        values = (torch.rand(count, len(levels), device=levels.device) - 0.5) * levels
        beyond = (values.abs() - (levels - 2) / 2).clamp_min(0)
        return values - beyond / 2 * values.sign() - self.offset

    def point_to_code(self, point: Float[Tensor, "... g"]) -> Int[Tensor, "..."]:
        return ((point + self.zero_level) * self.radix).sum(-1).long()

    def code_to_point(self, code: Int[Tensor, "..."]) -> Float[Tensor, "... g"]:
        return code.unsqueeze(-1) // self.radix % self.levels - self.zero_level


class ScalarQuantizer(nn.Module):
    """FSQ: projects the latent to a few dimensions and rounds each to a few values (Mentzer et al. 2023, section 3).

    The decoder's gradient trains the latent and the projections; the loss `usage_loss` leads them to use all points
    equally. Running averages of their mean and mean absolute deviation centre and scale the projections, so that tanh
    fills the grid at any scale of the latent, and so in any position of a residual stack. The first training batch
    initializes the input projection with the principal axes and the output projection by least squares.

    Args:
        dim: Dimension of the rows.
        size: Number of codes, the product of the levels.
    """

    running_mean: Tensor
    running_deviation: Tensor
    scale: Tensor
    initialized: Tensor

    def __init__(self, dim: int, size: int):
        super().__init__()
        self.size, self.levels = size, choose_levels(size, dim)
        self.project_in = nn.Linear(dim, len(self.levels), bias=False)
        self.project_out = nn.Linear(len(self.levels), dim)
        self.register_buffer("running_mean", torch.zeros(len(self.levels)))
        self.register_buffer("running_deviation", torch.ones(len(self.levels)))     # mean absolute deviation
        self.register_buffer("scale", torch.tensor(1.0))    # of the first rows, so that weights are of order one
        self.register_buffer("initialized", torch.tensor(False))

    def quantize(self, rows: Float[Tensor, "r d"], source: Float[Tensor, "r d"]) -> tuple[Tensor, Tensor, dict]:
        """Quantized rows, codes and, in training, the usage loss.

        `source` equals the rows: the decoder's gradient passes through `rows`, that of the loss through `source`.
        """
        if self.training and not self.initialized:
            self.pca_init(source.detach())
        grid, projected = Grid(self.levels, rows), self.project_in(rows)
        values, losses = self.bound(projected, grid), {}
        if self.training:
            losses["usage_loss"] = usage_loss(self.bound(self.project_in(source), grid), grid)
            self.update_statistics(all_gather(projected.detach()), STATISTICS_DECAY)
        point = values.round().detach()
        return self.to_latent(values + (point - values).detach(), grid), grid.point_to_code(point), losses

    def nearest(self, rows: Float[Tensor, "r d"]) -> Int[Tensor, "r"]:
        grid = Grid(self.levels, rows)
        return grid.point_to_code(self.bound(self.project_in(rows), grid).round())

    def decode(self, codes: Int[Tensor, "..."]) -> Float[Tensor, "... d"]:
        grid = Grid(self.levels, self.scale)
        return self.to_latent(grid.code_to_point(codes), grid)

    def bound(self, projected: Float[Tensor, "r g"], grid: Grid) -> Float[Tensor, "r g"]:
        return grid.bound((projected - self.running_mean) / self.running_deviation.clamp_min(1e-9) - grid.shift)

    def to_latent(self, points: Float[Tensor, "... g"], grid: Grid) -> Float[Tensor, "... d"]:
        return self.project_out(points / grid.zero_level) * self.scale

    @torch.no_grad()
    def pca_init(self, rows: Float[Tensor, "r d"]) -> None:
        rows, grid = all_gather(rows), Grid(self.levels, rows)
        deviation = rows - rows.mean(0)
        axes = torch.linalg.eigh(deviation.T @ deviation).eigenvectors.T.flip(0)[:len(self.levels)]
        self.project_in.weight.copy_(broadcast(axes.contiguous()))
        self.update_statistics(self.project_in(rows), 0)
        points = self.bound(self.project_in(rows), grid).round() / grid.zero_level
        self.scale.copy_(rows.std().clamp_min(1e-9))
        solution = broadcast(torch.linalg.pinv(F.pad(points, (0, 1), value=1)) @ rows / self.scale)
        self.project_out.weight.copy_(solution[:-1].T)
        self.project_out.bias.copy_(solution[-1])
        self.initialized.fill_(True)

    def update_statistics(self, projected: Float[Tensor, "r g"], decay: float) -> None:
        self.running_mean.lerp_(projected.mean(0), 1 - decay)
        self.running_deviation.lerp_((projected - self.running_mean).abs().mean(0), 1 - decay)


def usage_loss(values: Float[Tensor, "r g"], grid: Grid) -> Float[Tensor, ""]:
    """Squared sliced Wasserstein distance (Bonneel et al. 2015, section 2.3) to values that use all points equally.

    Its unit is half the width of the grid.
    """
    rows = all_gather_with_grad(values / grid.half_width)
    uniform = grid.uniform_samples(len(rows)) / grid.half_width
    directions = F.normalize(torch.randn(len(grid.levels), N_DIRECTIONS, device=values.device), dim=0)
    return ((rows @ directions).sort(0).values - (uniform @ directions).sort(0).values).square().mean()
