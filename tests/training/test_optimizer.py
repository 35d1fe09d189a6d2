"""Muon against torch's own for matrices, Adam against torch's for vectors."""

import pytest
import torch
from torch import nn

from ecgvae.training.optimizer import Muon, orthogonalize


class TwoParameters(nn.Module):
    def __init__(self, kernel: tuple[int, ...]):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(kernel, generator=generator))
        self.bias = nn.Parameter(torch.randn(5, generator=generator))


def gradients(model: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7)])
def test_matrices_and_vectors_step_as_torch_steps_them(shape):
    ours, reference = TwoParameters(shape), TwoParameters(shape)
    optimizer = Muon(ours, lr=0.02, betas=(0.9, 0.98), momentum=0.95, weight_decay=0.1)
    muon = torch.optim.Muon([reference.kernel], lr=0.02, momentum=0.95, weight_decay=0.1,
                            adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam([reference.bias], lr=0.02, betas=(0.9, 0.98))
    for step in range(5):
        gradients(ours, step)
        gradients(reference, step)
        optimizer.step()
        muon.step()
        adam.step()
    torch.testing.assert_close(ours.bias, reference.bias)
    torch.testing.assert_close(ours.kernel, reference.kernel, atol=2e-3, rtol=2e-2)    # bfloat16 inside


def test_a_kernel_is_stepped_as_its_matrix():
    kernel, matrix = TwoParameters((6, 4, 3)), TwoParameters((6, 12))
    with torch.no_grad():
        matrix.kernel.copy_(kernel.kernel.flatten(1))
    for model in (kernel, matrix):
        optimizer = Muon(model, lr=0.02)
        for step in range(3):
            gradients(model, step)
            optimizer.step()
    torch.testing.assert_close(kernel.kernel.flatten(1), matrix.kernel)


def test_an_orthogonalized_matrix_has_singular_values_near_one():
    values = torch.linalg.svdvals(orthogonalize(torch.randn(40, 24, generator=torch.Generator().manual_seed(1))))
    assert 0.5 < values.min() and values.max() < 1.3
