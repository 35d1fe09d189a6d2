"""Autoregressive priors: frame after frame and, within a frame, code after code, so that probabilities are exact.

A causal trunk reads the frames before; a small depth decoder then predicts the codes of a frame in turn (Lee et al.
2022, RQ-Transformer, eq. 10). The trunk is a transformer, or the gated convolutions of a PixelCNN in one dimension.

Shapes: b batch, n frames, s slots of a frame, d width of the trunk.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.nn.causal import Cache, CausalTransformer, GatedConvs
from ecgvae.priors.depth import DepthDecoder, DepthSettings
from ecgvae.priors.embedding import CodeEmbedding, ConditionEmbedding
from ecgvae.priors.frames import ABSENT
from ecgvae.priors.prior import TokenPrior
from ecgvae.priors.sampling import DEFAULT_SAMPLING, SamplingSettings, with_unconditional

LOG_PROB_FRAMES = 256       # frames whose logits are in memory at a time


class AutoregressiveSettings(DepthSettings):
    """A causal transformer with rotary positions; a frame attends to `window` frames before it."""

    kind: Literal["autoregressive"] = "autoregressive"
    layers: int = Field(4, ge=1, le=64)
    heads: int = Field(6, ge=1, le=64)
    window: int = Field(256, ge=1, le=1 << 16)

    def trunk(self) -> nn.Module:
        return CausalTransformer(self.width, self.layers, self.heads, self.window, self.dropout)


class PixelCNNSettings(DepthSettings):
    """Gated causal convolutions over frames (van den Oord et al. 2016), whose dilations double up to a maximum."""

    kind: Literal["pixelcnn"] = "pixelcnn"
    kernel: int = Field(3, ge=2, le=64)
    max_dilation: int = Field(32, ge=1, le=1 << 12)
    repeats: int = Field(1, ge=1, le=64)

    def trunk(self) -> nn.Module:
        return GatedConvs(self.width, self.kernel, self.max_dilation, self.repeats, self.dropout)


class AutoregressivePrior(TokenPrior):
    """A causal trunk over frames and a depth decoder over the codes of a frame."""

    is_exact = True
    options = frozenset({"temperature", "top_k", "top_p", "guidance"})

    def __init__(self, settings: AutoregressiveSettings | PixelCNNSettings, codebooks: tuple[CodebookSpec, ...]):
        super().__init__(settings, codebooks)
        width = settings.width
        self.embedding = CodeEmbedding(self.layout, settings.code_width, settings.residual)
        self.project = nn.Linear(self.embedding.width, width)
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.condition_embedding = ConditionEmbedding(settings.condition, width)
        self.trunk = settings.trunk()
        self.depth = DepthDecoder(self.layout, settings)

    def prepare(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        self.embedding.init_from_vectors(vectors)

    def loss(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        condition = self.training_condition(condition)
        inputs = self.layout.corrupt(codes, self.settings.corruption) if self.training else codes
        trunk = self.trunk(self.trunk_inputs(inputs[:, :-1], condition))
        return -self.slot_log_probs(trunk, codes).sum() / (codes != ABSENT).sum()

    def trunk_inputs(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None, first: bool = True
                     ) -> Float[Tensor, "b _ d"]:
        """The trunk's input for the frames after each of the given ones; with `first` also for the very first."""
        x = self.project(self.embedding.frames(codes))
        if first:
            x = torch.cat([self.start.expand(len(codes), 1, -1), x], 1)
        return x + self.condition_embedding(condition, len(codes)).unsqueeze(1)

    def slot_log_probs(self, trunk: Float[Tensor, "b n d"], codes: Int[Tensor, "b n s"]) -> Float[Tensor, "b n s"]:
        """The log-probabilities of codes under the trunk's output; 0 where they are `ABSENT`."""
        rows = self.depth.log_probs(trunk.flatten(0, 1), codes.flatten(0, 1), self.embedding)
        return rows.unflatten(0, codes.shape[:2])

    @torch.no_grad()
    def log_prob(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None,
                 cache: Cache | None = None) -> Float[Tensor, "b n s"]:
        self.check_codes(codes)
        cache, parts = {} if cache is None else cache, []
        for part in codes.split(LOG_PROB_FRAMES, 1):
            is_first = self not in cache
            before = part[:, :-1] if is_first else torch.cat([cache[self], part[:, :-1]], 1)
            cache[self] = part[:, -1:]
            parts.append(self.slot_log_probs(self.trunk(self.trunk_inputs(before, condition, is_first), cache), part))
        return torch.cat(parts, 1)

    @torch.inference_mode()
    def sample(self, count: int, frames: int, condition: Float[Tensor, "b k"] | None = None,
               generator: torch.Generator | None = None, settings: SamplingSettings = DEFAULT_SAMPLING,
               given: Int[Tensor, "b m s"] | None = None) -> Int[Tensor, "b n s"]:
        codes = self.given_prefix(count, frames, given)
        prefix = 0 if given is None else given.shape[1]
        shape = (count, frames, len(self.layout.slots))
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64).to(self.device)
        condition, copies = with_unconditional(condition, settings.guidance)
        cache: Cache = {}
        for frame in range(prefix, frames):
            first = frame == prefix
            before = codes[:, :frame] if first else codes[:, frame - 1:frame]
            trunk = self.trunk(self.trunk_inputs(before.repeat(copies, 1, 1), condition, first), cache)[:, -1]
            codes[:, frame] = self.depth.draw(codes[:, frame], trunk, uniform[:, frame], self.embedding, settings)
        return codes

    def given_prefix(self, count: int, frames: int, given: Int[Tensor, "b m s"] | None) -> Int[Tensor, "b n s"]:
        """Frames of which the first are given; ValueError if these are not whole frames at the start."""
        codes = torch.full((count, frames, len(self.layout.slots)), ABSENT, device=self.device)
        if given is not None:
            self.check_codes(given)
            if len(given) != count or given.shape[1] > frames or bool((given == ABSENT).any()):
                raise ValueError(f"given codes of shape {tuple(given.shape)}, some of them absent or not; wanted whole "
                                 f"frames at the start of {count} samples of {frames} frames")
            codes[:, :given.shape[1]] = given
        return codes
