"""Finite scalar quantization against vector-quantize-pytorch's."""

import math

import pytest
import torch
from scipy.stats import chisquare, wasserstein_distance
from vector_quantize_pytorch import FSQ

from ecgvae.nn.fsq import Grid, ScalarQuantizer, choose_levels, usage_loss
from ecgvae.nn.quantize import ResidualVectorQuantizer


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "dim", "sides"), [
    (1024, 64, (4, 4, 4, 4, 4)), (1024, 4, (8, 8, 4, 4)), (1000, 64, (8, 5, 5, 5)), (8192, 64, (8, 4, 4, 4, 4, 4)),
    (12, 64, (4, 3)), (16, 1, (16,)), (3, 1, (3,)), (1 << 20, 64, (4,) * 10),
])
def test_sides_of_a_grid(size, dim, sides):
    assert choose_levels(size, dim) == sides and math.prod(sides) == size


@pytest.mark.parametrize(("size", "dim", "such"), [(1021, 64, 1024), (2, 8, 1024), (1024, 2, 16)])
def test_a_size_that_is_no_grid_is_refused(size, dim, such):
    with pytest.raises(ValueError, match=f"^fsq with {size} codes in {dim} dimensions; wanted .* such as {such}$"):
        ScalarQuantizer(dim, size)


@pytest.mark.parametrize("sides", [(8, 5, 5, 5), (4,) * 5, (3, 4, 16), (7,)])
def test_codes_and_points_are_the_oracles(sides):
    theirs, grid = FSQ(list(sides), return_indices=True), Grid(sides, torch.zeros(1))
    every = torch.arange(math.prod(sides))
    torch.testing.assert_close(grid.code_to_point(every) / grid.low, theirs.indices_to_codes(every))
    assert torch.equal(grid.point_to_code(grid.code_to_point(every)), every)
    x = 2 * normal(1, 5000, len(sides))
    quantized, codes = theirs(x)
    rounded = grid.bound(x).round()
    assert torch.equal(grid.point_to_code(rounded), codes.long())
    torch.testing.assert_close(rounded / grid.low, quantized)
    extremes = grid.point_to_code(grid.bound(torch.tensor([[-1e9], [1e9]]).expand(2, len(sides))).round())
    assert extremes.tolist() == [0, len(every) - 1]


def test_a_level_is_the_oracles_with_its_gradient():
    ours, theirs = ScalarQuantizer(6, 1000).eval(), FSQ([8, 5, 5, 5], dim=6)
    theirs.project_in.weight.data.copy_(ours.project_in.weight)
    theirs.project_in.bias.data.copy_(-Grid(ours.levels, ours.scale).shift)
    theirs.project_out.load_state_dict(ours.project_out.state_dict())
    a, b = (5 * normal(400, 6)).requires_grad_(), (5 * normal(1, 400, 6)).reshape(1, 400, 6).requires_grad_()
    rows, codes, losses = ours.quantize(a, a)
    quantized, wanted = theirs(b)
    assert torch.equal(codes, wanted[0].long()) and len(codes.unique()) > 50
    assert torch.equal(ours.nearest(a), codes) and losses == {}
    torch.testing.assert_close(rows, quantized[0])
    torch.testing.assert_close(ours.decode(codes), quantized[0])
    weights = normal(400, 6, seed=2)
    (rows * weights).sum().backward()
    (quantized[0] * weights).sum().backward()
    torch.testing.assert_close(a.grad, b.grad[0])
    torch.testing.assert_close(ours.project_in.weight.grad, theirs.project_in.weight.grad)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_first_batch_spreads_rows_over_the_grid_at_any_scale(scale):
    level = ScalarQuantizer(8, 1024)
    rows = (normal(8000, 8) * torch.arange(1, 9) + 20) * scale
    level.eval().quantize(rows, rows)
    assert not level.initialized
    out, codes, _ = level.train().quantize(rows, rows)
    counts = torch.bincount(codes, minlength=1024).float()
    entropy = torch.distributions.Categorical(counts).entropy()
    assert level.initialized and 2**10 * 0.9 < entropy.exp() and (counts > 0).float().mean() > 0.99
    best = torch.arange(1, 9).square()[:3].sum() / torch.arange(1, 9).square().sum()    # five axes kept exactly
    error = float((out.detach() - rows).square().sum() / (rows - rows.mean(0)).square().sum())
    assert best < error < best + 0.15


def test_projections_stay_spread_while_the_latent_grows():
    level = ScalarQuantizer(8, 1024).train()
    level.quantize(normal(2000, 8), normal(2000, 8))
    for step in range(500):
        rows = normal(500, 8, seed=step) * 10 + 7
        level.quantize(rows, rows)
    codes = level.eval().nearest(rows := normal(8000, 8, seed=1000) * 10 + 7)
    assert len(codes.unique()) > 0.98 * 1024
    before = {name: value.clone() for name, value in level.state_dict().items()}
    level.quantize(rows, rows)
    assert all(torch.equal(value, before[name]) for name, value in level.state_dict().items())


def test_residual_levels_shrink_the_error_and_any_first_few_decode():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(8, 256, 4, kind="fsq").train()
    z = normal(4, 8, 500)
    result = quantizer(z)
    assert set(result.losses) == {"usage_loss"} and result.codes.shape == (4, 4, 500)
    quantizer.eval()
    codes = quantizer.encode(z)
    assert torch.equal(quantizer(z).codes, codes)
    with torch.no_grad():
        errors = [float((z - quantizer.decode(codes[:, :count])).square().mean()) for count in range(1, 5)]
    assert all(later < 0.75 * earlier for earlier, later in zip(errors, errors[1:], strict=False))
    torch.testing.assert_close(quantizer(z, torch.full((4,), 2)).z, quantizer.decode(codes[:, :2]))


def test_every_weight_gets_a_gradient():
    quantizer = ResidualVectorQuantizer(8, 64, 3, kind="fsq").train()
    z = normal(6, 8, 50).requires_grad_()
    (quantizer(z, torch.arange(6) % 3 + 1).z - z).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in quantizer.parameters())


def test_a_constant_batch_starts_without_nan():
    level = ScalarQuantizer(8, 64).train()
    rows, _, _ = level.quantize(torch.ones(10, 8), torch.ones(10, 8))
    assert rows.isfinite().all()


@pytest.mark.parametrize("sides", [(8, 5, 3), (4, 4, 4), (16,)])
def test_even_values_round_to_all_points_alike(sides):
    torch.manual_seed(0)
    grid, size = Grid(sides, torch.zeros(1)), math.prod(sides)
    values = grid.uniform_samples(200 * size)
    assert bool((values.round() >= -grid.low).all() and (values.round() < grid.levels - grid.low).all())
    assert bool(((values + grid.offset).abs() <= grid.half_width).all())
    counts = torch.bincount(grid.point_to_code(values.round()), minlength=size)
    assert chisquare(counts).pvalue > 1e-3


def test_unevenness_leads_values_to_all_points():
    torch.manual_seed(0)
    grid = Grid((8, 4, 4), torch.zeros(1))
    x = (normal(1000, 3) @ normal(3, 3, seed=1)).mul(0.2).requires_grad_()      # close together, and dependent

    def used():
        counts = torch.bincount(grid.point_to_code(grid.bound(x.detach()).round()), minlength=128)
        return float((counts > 0).float().mean())
    before, optimizer = used(), torch.optim.Adam([x], 0.03)
    for _ in range(200):
        optimizer.zero_grad()
        loss = usage_loss(grid.bound(x), grid)
        loss.backward()
        optimizer.step()
    assert before < 0.3 and used() > 0.97 and loss < 0.01


def test_unevenness_of_one_side_is_the_distance_of_sorted_values():
    """With one dimension there is one direction and its opposite."""
    grid = Grid((6,), torch.zeros(1))
    values = grid.bound(normal(5000, 1))
    ordered = values.flatten().sort().values
    torch.manual_seed(0)
    distance = wasserstein_distance(ordered.numpy(), grid.uniform_samples(5000).flatten().numpy())     # of power 1, so no larger
    torch.manual_seed(0)
    assert distance**2 <= float(usage_loss(values, grid) * grid.half_width**2) < 2 * distance**2
