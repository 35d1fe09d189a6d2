"""Muon for kernels and Adam for the rest, as one optimizer."""

import torch
from torch import Tensor, nn

POLYNOMIAL = (3.4445, -4.7750, 2.0315)      # of Jordan et al.'s Newton-Schulz iteration


class Muon(torch.optim.Optimizer):
    """Steps along orthogonalized momentum (Jordan et al. 2024) for whatever is a matrix or a convolution's kernel.

    A kernel counts as a matrix of outputs by everything else; torch's own Muon takes true matrices only. Updates
    have the size AdamW's would have (Liu et al. 2025, eq. 4), so one learning rate and weight decay serve both;
    vectors are stepped by Adam and don't decay.
    """

    def __init__(self, model: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.98), momentum: float = 0.95,
                 weight_decay: float = 0.0):
        kernels = [p for p in model.parameters() if p.ndim > 1]
        vectors = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": kernels, "kernels": True}, {"params": vectors, "kernels": False}]
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    step = kernel_step if group["kernels"] else vector_step
                    step(parameter, parameter.grad, self.state[parameter], group)


def kernel_step(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    update = orthogonal(gradient.lerp(state["momentum"], group["momentum"]).flatten(1))     # Nesterov's
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(update.view_as(parameter), alpha=-0.2 * group["lr"] * max(update.shape) ** 0.5)


def vector_step(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
    """Adam (Kingma and Ba 2015, algorithm 1)."""
    if not state:
        state.update(step=torch.zeros(()), first=torch.zeros_like(parameter), second=torch.zeros_like(parameter))
    state["step"] += 1
    decay, slow = group["betas"]
    first = state["first"].lerp_(gradient, 1 - decay) / (1 - decay ** float(state["step"]))
    second = state["second"].lerp_(gradient.square(), 1 - slow) / (1 - slow ** float(state["step"]))
    parameter.add_(first / (second.sqrt() + 1e-8), alpha=-group["lr"])


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """About U V' of the singular value decomposition U S V', by Newton-Schulz iteration in bfloat16."""
    a, b, c = POLYNOMIAL
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
