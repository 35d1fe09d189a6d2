"""Residual stacks of quantizers, against vector-quantize-pytorch."""

import pytest
import torch
from quantizers import DIM, SIZE, randn, set_codebooks
from vector_quantize_pytorch import ResidualVQ

from ecgvae.nn.quantize import ResidualVectorQuantizer

VARIANTS = [{}, {"decay": None}, {"gradient": "rotation"}, {"code_dim": 3, "normalize": True},
            {"code_dim": 3, "gradient": "rotation", "decay": None}]


def residual_stack(count=4, **options):
    """A residual stack with codebooks that become finer, as residuals do."""
    torch.manual_seed(0)
    stack = ResidualVectorQuantizer(DIM, SIZE, count, **options)
    width = options.get("code_dim", DIM)
    return set_codebooks(stack, [randn(SIZE, width, seed=index) / 1.5**index for index in range(count)])


def test_residual_codes_and_sums_equal_the_reference():
    stack = residual_stack().eval()
    reference = ResidualVQ(dim=DIM, num_quantizers=4, codebook_size=SIZE).eval()
    for quantizer, layer in zip(stack.quantizers, reference.layers, strict=True):
        layer.codebook = quantizer.codebook.embeddings
    x = randn(3, DIM, 40, seed=9)
    result, (quantized, codes, _) = stack(x), reference(x.mT)
    assert torch.equal(result.codes, codes.permute(0, 2, 1))
    assert torch.equal(stack.encode(x), result.codes)
    torch.testing.assert_close(result.z, quantized.mT)
    torch.testing.assert_close(stack.decode(result.codes), quantized.mT)


@pytest.mark.parametrize("options", VARIANTS)
def test_the_first_codebooks_decode_to_the_partial_sum(options):
    stack = residual_stack(**options).eval()
    x = randn(4, DIM, 25, seed=9)
    codes = stack.encode(x)
    vectors = [quantizer.decode(row).mT for quantizer, row in zip(stack.quantizers, codes.unbind(1), strict=True)]
    active = torch.tensor([1, 2, 3, 4])
    forward = stack(x, active)
    for count in range(1, 5):
        partial = stack.decode(codes[:, :count])
        torch.testing.assert_close(partial, sum(vectors[:count]))
        assert torch.equal(stack.encode(x, count), codes[:, :count])
        torch.testing.assert_close(forward.z[count - 1], partial[count - 1])
    assert torch.equal(forward.codes, codes)


@pytest.mark.parametrize("options", VARIANTS)
def test_the_commitment_of_every_quantizer_reaches_the_encoder(options):
    stack = residual_stack(**options).eval()
    z, before = randn(2, DIM, 20, seed=9).requires_grad_(), torch.zeros(2, DIM, 20)
    quantizers = stack.quantizers
    for count in range(1, 5):
        stack.quantizers = quantizers[:count]
        gradient, = torch.autograd.grad(count * stack(z).losses["commitment"], z)
        assert (gradient - before).abs().mean() > 1e-5      # of the last quantizer alone
        before = gradient


def test_the_commitment_gradient_pulls_each_residual_to_its_code():
    stack = residual_stack().eval()
    z = randn(2, DIM, 20, seed=9).requires_grad_()
    result = stack(z)
    errors = [z.detach() - stack.decode(result.codes[:, :count]) for count in range(1, 5)]
    gradient, = torch.autograd.grad(result.losses["commitment"], z)
    torch.testing.assert_close(gradient, 2 * sum(errors) / z.numel() / 4)


def test_commitment_is_the_mean_over_quantizers():
    stack = residual_stack().eval()
    z = randn(2, DIM, 20, seed=9)
    codes = stack.encode(z)
    errors = [(z - stack.decode(codes[:, :count])).square().mean() for count in range(1, 5)]
    torch.testing.assert_close(stack(z).losses["commitment"], torch.stack(errors).mean())


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_gradient_of_the_decoder_passes_once(count):
    stack = residual_stack(count).train()
    z, weights = randn(3, DIM, 20, seed=9).requires_grad_(), randn(3, DIM, 20, seed=8)
    for active in (None, torch.tensor([1, count, 1])):
        gradient, = torch.autograd.grad((stack(z, active).z * weights).sum(), z)
        torch.testing.assert_close(gradient, weights)
