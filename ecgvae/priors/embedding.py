"""What priors are given as vectors: the codes of a frame, and the condition."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.conditions import ConditionSettings
from ecgvae.priors.frames import ABSENT, FrameLayout


class CodeEmbedding(nn.Module):
    """The vectors of the codes of a frame; `ABSENT` codes have the vector zero.

    The vectors of the codes of a residual quantizer add up (Lee et al. 2022, RQ-Transformer, eq. 9), so they are in the
    same basis, and `scales` says how large those of each codebook are.

    Args:
        layout: The slots of a frame.
        width: Length of a vector.
        residual: Whether vectors add up; if not, every code is a group of its own, and all vectors are equally large.
    """

    def __init__(self, layout: FrameLayout, width: int, residual: bool = True):
        super().__init__()
        self.codebooks = [slot.codebook for slot in layout.slots]
        self.groups = layout.groups if residual else (1,) * len(layout.slots)
        self.hops = [spec.hop for spec in layout.codebooks]
        self.tables = nn.ModuleList(nn.Embedding(spec.size, width) for spec in layout.codebooks)
        self.scales = nn.Parameter(torch.ones(len(layout.codebooks))) if residual else None

    @property
    def width(self) -> int:
        """Length of the vector of a frame."""
        return len(self.groups) * self.table(0).shape[1]

    def table(self, slot: int) -> Float[Tensor, "k e"]:
        """The vectors of the codes that a slot may have, before they are scaled."""
        table: Any = self.tables[self.codebooks[slot]]
        return table.weight

    def forward(self, codes: Int[Tensor, "*b s"]) -> Float[Tensor, "*b s e"]:
        vectors = torch.stack([self.slot(slot, codes[..., slot]) for slot in range(codes.shape[-1])], -2)
        return vectors * (codes != ABSENT).unsqueeze(-1)

    def slot(self, slot: int, codes: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows e"]:
        """The vectors of the codes in a slot."""
        vectors = F.embedding(codes.clamp(min=0), self.table(slot))
        return vectors if self.scales is None else vectors * self.scales[self.codebooks[slot]]

    def frames(self, codes: Int[Tensor, "*b s"]) -> Float[Tensor, "*b w"]:
        """A vector for each frame: the sums of its groups, one after the other."""
        sums = [group.sum(-2) for group in self(codes).split(self.groups, -2)]
        return torch.cat(sums, -1)

    def running_sums(self, vectors: Float[Tensor, "*b s e"]) -> Float[Tensor, "*b s e"]:
        """For each slot the sum of the vectors of its group up to its own."""
        return torch.cat([group.cumsum(-2) for group in vectors.split(self.groups, -2)], -2)

    def starts_group(self, slot: int) -> bool:
        """Whether a slot is the first of its group."""
        return slot in (0, *accumulate(self.groups))

    @torch.no_grad()
    def init_from_vectors(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        """Copies the first principal components of given vectors, scaled to a root mean square of 1 in each codebook.

        Codebooks of one hop are in one basis, and the largest of them has the scale 1.
        """
        for hop in set(self.hops):
            numbers = [number for number, own in enumerate(self.hops) if own == hop]
            centred = [vectors[number].double() - vectors[number].double().mean(0) for number in numbers]
            axes = torch.linalg.svd(torch.cat(centred), full_matrices=False).Vh.T[:, :self.table(0).shape[1]]
            components = [codebook @ axes for codebook in centred]
            sizes = [codebook.square().mean().sqrt().clamp(min=1e-12) for codebook in components]
            for number, codebook, size in zip(numbers, components, sizes, strict=True):
                weight: Any = self.tables[number].weight
                weight.zero_()
                weight[:, :codebook.shape[1]] = codebook / size
                if self.scales is not None:
                    self.scales[number] = size / max(sizes)


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
