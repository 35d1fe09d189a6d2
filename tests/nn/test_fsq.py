"""Finite scalar quantization against that of vector-quantize-pytorch."""

import math

import pytest
import torch
from scipy.stats import chisquare, wasserstein_distance
from vector_quantize_pytorch import FSQ

from ecgvae.nn.fsq import Grid, ScalarQuantizer, choose_levels, usage_loss
from ecgvae.nn.quantize import ResidualVectorQuantizer


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("size", "dim", "levels"), [
    (1024, 64, (4, 4, 4, 4, 4)), (1024, 4, (8, 8, 4, 4)), (1000, 64, (8, 5, 5, 5)), (8192, 64, (8, 4, 4, 4, 4, 4)),
    (12, 64, (4, 3)), (16, 1, (16,)), (3, 1, (3,)), (1 << 20, 64, (4,) * 10),
])
def test_levels_of_a_codebook_size(size, dim, levels):
    assert choose_levels(size, dim) == levels and math.prod(levels) == size


@pytest.mark.parametrize(("size", "dim", "suggestion"), [(1021, 64, 1024), (2, 8, 1024), (1024, 2, 16)])
def test_a_size_without_levels_is_refused(size, dim, suggestion):
    message = f"^fsq with {size} codes in {dim} dimensions; wanted .* such as {suggestion}$"
    with pytest.raises(ValueError, match=message):
        ScalarQuantizer(dim, size)


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (4,) * 5, (3, 4, 16), (7,)])
def test_codes_and_points_equal_the_reference(levels):
    reference, grid = FSQ(list(levels), return_indices=True), Grid(levels, torch.zeros(1))
    all_codes = torch.arange(math.prod(levels))
    torch.testing.assert_close(grid.code_to_point(all_codes) / grid.zero_level, reference.indices_to_codes(all_codes))
    assert torch.equal(grid.point_to_code(grid.code_to_point(all_codes)), all_codes)
    x = 2 * randn(1, 5000, len(levels))
    quantized, codes = reference(x)
    rounded = grid.bound(x).round()
    assert torch.equal(grid.point_to_code(rounded), codes.long())
    torch.testing.assert_close(rounded / grid.zero_level, quantized)
    extremes = grid.point_to_code(grid.bound(torch.tensor([[-1e9], [1e9]]).expand(2, len(levels))).round())
    assert extremes.tolist() == [0, len(all_codes) - 1]


def test_quantized_rows_and_gradients_equal_the_reference():
    quantizer, reference = ScalarQuantizer(6, 1000).eval(), FSQ([8, 5, 5, 5], dim=6)
    reference.project_in.weight.data.copy_(quantizer.project_in.weight)
    reference.project_in.bias.data.copy_(-Grid(quantizer.levels, quantizer.scale).shift)
    reference.project_out.load_state_dict(quantizer.project_out.state_dict())
    z, reference_z = (5 * randn(400, 6)).requires_grad_(), (5 * randn(1, 400, 6)).reshape(1, 400, 6).requires_grad_()
    rows, codes, losses = quantizer.quantize(z, z)
    quantized, (expected_codes,) = reference(reference_z)
    assert torch.equal(codes, expected_codes.long()) and len(codes.unique()) > 50
    assert torch.equal(quantizer.nearest(z), codes) and losses == {}
    torch.testing.assert_close(rows, quantized[0])
    torch.testing.assert_close(quantizer.decode(codes), quantized[0])
    weights = randn(400, 6, seed=2)
    (rows * weights).sum().backward()
    (quantized[0] * weights).sum().backward()
    torch.testing.assert_close(z.grad, reference_z.grad[0])
    torch.testing.assert_close(quantizer.project_in.weight.grad, reference.project_in.weight.grad)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_first_batch_initializes_the_whole_grid_at_any_scale(scale):
    quantizer = ScalarQuantizer(8, 1024)
    rows = (randn(8000, 8) * torch.arange(1, 9) + 20) * scale
    quantizer.eval().quantize(rows, rows)
    assert not quantizer.initialized
    quantized, codes, _ = quantizer.train().quantize(rows, rows)
    counts = torch.bincount(codes, minlength=1024).float()
    entropy = torch.distributions.Categorical(counts).entropy()
    assert quantizer.initialized and 2**10 * 0.9 < entropy.exp() and (counts > 0).float().mean() > 0.99
    variances = torch.arange(1, 9).square()
    pca_error = variances[:3].sum() / variances.sum()       # of the five largest axes without rounding
    error = float((quantized.detach() - rows).square().sum() / (rows - rows.mean(0)).square().sum())
    assert pca_error < error < pca_error + 0.15


def test_all_codes_stay_in_use_while_the_latent_grows():
    quantizer = ScalarQuantizer(8, 1024).train()
    quantizer.quantize(randn(2000, 8), randn(2000, 8))
    for step in range(500):
        rows = randn(500, 8, seed=step) * 10 + 7
        quantizer.quantize(rows, rows)
    codes = quantizer.eval().nearest(rows := randn(8000, 8, seed=1000) * 10 + 7)
    assert len(codes.unique()) > 0.98 * 1024
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.quantize(rows, rows)
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_residual_quantizers_lower_the_error_and_any_first_few_decode():
    torch.manual_seed(0)
    quantizer = ResidualVectorQuantizer(8, 256, 4, kind="fsq").train()
    z = randn(4, 8, 500)
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
    z = randn(6, 8, 50).requires_grad_()
    (quantizer(z, torch.arange(6) % 3 + 1).z - z).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in quantizer.parameters())


def test_initialization_from_a_constant_batch_gives_no_nan():
    quantizer = ScalarQuantizer(8, 64).train()
    rows, _, _ = quantizer.quantize(torch.ones(10, 8), torch.ones(10, 8))
    assert rows.isfinite().all()


@pytest.mark.parametrize("levels", [(8, 5, 3), (4, 4, 4), (16,)])
def test_uniform_samples_round_to_all_points_equally_often(levels):
    torch.manual_seed(0)
    grid, size = Grid(levels, torch.zeros(1)), math.prod(levels)
    values = grid.uniform_samples(200 * size)
    assert bool((values.round() >= -grid.zero_level).all() and (values.round() < grid.levels - grid.zero_level).all())
    assert bool(((values + grid.offset).abs() <= grid.half_width).all())
    counts = torch.bincount(grid.point_to_code(values.round()), minlength=size)
    assert chisquare(counts).pvalue > 1e-3


def test_the_usage_loss_leads_values_to_all_points():
    torch.manual_seed(0)
    grid = Grid((8, 4, 4), torch.zeros(1))
    x = (randn(1000, 3) @ randn(3, 3, seed=1)).mul(0.2).requires_grad_()      # close together, and dependent

    def share_of_codes_used():
        counts = torch.bincount(grid.point_to_code(grid.bound(x.detach()).round()), minlength=128)
        return float((counts > 0).float().mean())
    before, optimizer = share_of_codes_used(), torch.optim.Adam([x], 0.03)
    for _ in range(200):
        optimizer.zero_grad()
        loss = usage_loss(grid.bound(x), grid)
        loss.backward()
        optimizer.step()
    assert before < 0.3 and share_of_codes_used() > 0.97 and loss < 0.01


def test_the_usage_loss_of_one_dimension_is_the_distance_of_sorted_values():
    """With one dimension there is only one direction and its opposite."""
    grid = Grid((6,), torch.zeros(1))
    values = grid.bound(randn(5000, 1))
    ordered = values.flatten().sort().values
    torch.manual_seed(0)
    uniform = grid.uniform_samples(5000).flatten()
    distance = wasserstein_distance(ordered.numpy(), uniform.numpy())       # W1, which is at most W2
    torch.manual_seed(0)
    assert distance**2 <= float(usage_loss(values, grid) * grid.half_width**2) < 2 * distance**2
