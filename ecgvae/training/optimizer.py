"""One optimizer: Muon for matrices and convolution kernels, Adam for the other parameters."""

import torch
from torch import Tensor, nn

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)      # of Jordan et al. 2024


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024): steps along the orthogonalized momentum of every parameter of two or more dimensions.

    A convolution kernel is flattened to a matrix (outputs, all other dimensions); torch.optim.Muon takes matrices only.
    Updates are scaled to the RMS of AdamW's (Liu et al. 2025, eq. 4), so that Muon and Adam share a learning rate.
    Vectors, and the tables of embeddings, are updated by Adam, without weight decay.
    """

    def __init__(self, model: nn.Module, lr: float, betas: tuple[float, float] = (0.9, 0.98), momentum: float = 0.95,
                 weight_decay: float = 0.0):
        tables = {table.weight for table in model.modules() if isinstance(table, nn.Embedding)}
        kernels = [p for p in model.parameters() if p.ndim > 1 and p not in tables]
        vectors = [p for p in model.parameters() if p.ndim < 2 or p in tables]
        groups = [{"params": kernels, "kernels": True}, {"params": vectors, "kernels": False}]
        defaults = {"lr": lr, "betas": betas, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:       # type: ignore[override]
        for group in self.param_groups:
            update = muon_update if group["kernels"] else adam_update
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update(parameter, parameter.grad, self.state[parameter], group)


def muon_update(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
    """Moves a kernel along its orthogonalized Nesterov momentum."""
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    state["momentum"].lerp_(gradient, 1 - group["momentum"])
    update = orthogonalize(gradient.lerp(state["momentum"], group["momentum"]).flatten(1))
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(update.view_as(parameter), alpha=-0.2 * group["lr"] * max(update.shape) ** 0.5)


def adam_update(parameter: Tensor, gradient: Tensor, state: dict, group: dict) -> None:
    """Adam (Kingma and Ba 2015, algorithm 1)."""
    if not state:
        state.update(step=torch.zeros(()), first=torch.zeros_like(parameter), second=torch.zeros_like(parameter))
    state["step"] += 1
    beta1, beta2 = group["betas"]
    first = state["first"].lerp_(gradient, 1 - beta1) / (1 - beta1 ** float(state["step"]))
    second = state["second"].lerp_(gradient.square(), 1 - beta2) / (1 - beta2 ** float(state["step"]))
    parameter.add_(first / (second.sqrt() + 1e-8), alpha=-group["lr"])


def orthogonalize(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Approximately U V' of the singular value decomposition U S V', by Newton-Schulz iteration in bfloat16."""
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
