"""What priors are given as vectors: the codes of a frame, and the condition."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.conditions import ConditionSettings
from ecgvae.priors.frames import ABSENT, FrameLayout


class CodeEmbedding(nn.Module):
    """The vectors of the codes of a frame; `ABSENT` codes have the vector zero."""

    def __init__(self, layout: FrameLayout, width: int):
        super().__init__()
        self.codebooks = [slot.codebook for slot in layout.slots]
        self.tables = nn.ModuleList(nn.Embedding(spec.size, width) for spec in layout.codebooks)

    def table(self, slot: int) -> Float[Tensor, "k e"]:
        """The vectors of the codes that a slot may have."""
        table: Any = self.tables[self.codebooks[slot]]
        return table.weight

    def forward(self, codes: Int[Tensor, "b n s"]) -> Float[Tensor, "b n s e"]:
        vectors = torch.stack([self.slot(slot, codes[..., slot]) for slot in range(codes.shape[-1])], -2)
        return vectors * (codes != ABSENT).unsqueeze(-1)

    def slot(self, slot: int, codes: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows e"]:
        """The vectors of the codes in a slot."""
        return F.embedding(codes.clamp(min=0), self.table(slot))

    @torch.no_grad()
    def init_from_vectors(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        """Copies the principal components of given vectors, scaled to a root mean square of 1 in each codebook."""
        for table, given in zip(self.tables, vectors, strict=True):
            weight: Any = table.weight
            centred = given.double() - given.double().mean(0)
            components = centred @ torch.linalg.svd(centred, full_matrices=False).Vh.T[:, :weight.shape[1]]
            scaled = components / components.square().mean().sqrt().clamp(min=1e-12)
            weight.zero_()
            weight[:, :scaled.shape[1]] = scaled


class ConditionEmbedding(nn.Module):
    """Two layers from `ConditionSettings.vector` to a vector of the network's width; zero without a condition."""

    zero: Tensor

    def __init__(self, condition: ConditionSettings | None, width: int):
        super().__init__()
        self.inputs = condition.width if condition else 0
        self.register_buffer("zero", torch.zeros(1, width, device="cpu"), persistent=False)
        if condition is not None:
            if condition.leads:
                raise ValueError(f"condition.leads is {', '.join(condition.leads)}; a prior knows labels, age and sex")
            self.hidden = nn.Linear(self.inputs, condition.channels)
            self.out = nn.Linear(condition.channels, width)

    def forward(self, vector: Float[Tensor, "b k"] | None, count: int) -> Float[Tensor, "b d"]:
        """The vectors (count, width); an absent condition is unknown, all zeros."""
        if not self.inputs:
            if vector is not None:
                raise ValueError("a condition for a prior without one; wanted None")
            return self.zero.expand(count, -1)
        if vector is None:
            vector = self.hidden.weight.new_zeros(count, self.inputs)
        if vector.shape != (count, self.inputs):
            raise ValueError(f"conditions of shape {tuple(vector.shape)}; wanted ({count}, {self.inputs})")
        return self.out(F.silu(self.hidden(vector)))
