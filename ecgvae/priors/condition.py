"""The condition of a prior as a vector that is added to its frames."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae.conditions import ConditionSettings


class ConditionEmbedding(nn.Module):
    """Two layers from `ConditionSettings.vector` to a vector of the network's width; zero without a condition."""

    def __init__(self, condition: ConditionSettings | None, width: int):
        super().__init__()
        self.width, self.inputs = width, condition.width if condition else 0
        if condition is not None:
            if condition.leads:
                raise ValueError(f"condition.leads is {', '.join(condition.leads)}; a prior knows labels, age and sex")
            self.hidden = nn.Linear(self.inputs, condition.channels)
            self.out = nn.Linear(condition.channels, width)

    def forward(self, vector: Float[Tensor, "b k"] | None, count: int) -> Any:
        """The vectors (count, width); an absent condition is unknown, all zeros."""
        if not self.inputs:
            if vector is not None:
                raise ValueError("a condition for a prior without one; wanted None")
            return torch.zeros(())
        if vector is None:
            vector = self.hidden.weight.new_zeros(count, self.inputs)
        if vector.shape != (count, self.inputs):
            raise ValueError(f"conditions of shape {tuple(vector.shape)}; wanted ({count}, {self.inputs})")
        return self.out(F.silu(self.hidden(vector)))
