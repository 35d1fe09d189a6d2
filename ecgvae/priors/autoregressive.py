"""Autoregressive priors: frame after frame and, within a frame, code after code, so that probabilities are exact.

A causal trunk reads the frames before; a small depth decoder then predicts the codes of a frame in turn (Lee et al.
2022, RQ-Transformer, eq. 10). The trunk is a transformer, or the gated convolutions of a PixelCNN in one dimension.

Shapes: b batch, n frames, s slots of a frame, d width of the trunk, e width of the depth decoder, m rows (b n).
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.backbone import Width
from ecgvae.nn.causal import Cache, CausalTransformer, GatedConvs
from ecgvae.nn.transformer import at_least_float32, zero_init
from ecgvae.priors.embedding import CodeEmbedding, ConditionEmbedding
from ecgvae.priors.frames import ABSENT, FrameLayout
from ecgvae.priors.prior import PriorSettings, TokenPrior
from ecgvae.priors.sampling import DEFAULT_SAMPLING, SamplingSettings, draw, guide

LOG_PROB_FRAMES = 256       # frames whose logits are in memory at a time


class DepthSettings(PriorSettings):
    """What both kinds have: the width of the embeddings of codes, and the depth decoder.

    `corruption` is the share of codes in the input that are replaced by random ones in training, so that the prior
    learns to go on after an unlikely code.
    """

    width: Width = 192
    code_width: Width = 64
    depth_width: Width = 128
    depth_layers: int = Field(1, ge=1, le=32)
    depth_heads: int = Field(4, ge=1, le=64)
    dropout: float = Field(0.1, ge=0, lt=1)
    corruption: float = Field(0.0, ge=0, lt=1)


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


class DepthDecoder(nn.Module):
    """Predicts the codes of a frame in turn from the trunk's output: a causal transformer over slots.

    The logits of a slot are products with the embedding's vectors: codes of similar vectors are predicted alike.
    """

    def __init__(self, layout: FrameLayout, settings: DepthSettings):
        super().__init__()
        width, slots = settings.depth_width, len(layout.slots)
        self.codebooks = [slot.codebook for slot in layout.slots]
        self.from_trunk = nn.Linear(settings.width, width)
        self.from_code = nn.Linear(settings.code_width, width, bias=False)
        self.slot_embedding = nn.Parameter(0.02 * torch.randn(slots, width))
        self.blocks = CausalTransformer(width, settings.depth_layers, settings.depth_heads, slots, settings.dropout)
        self.to_code = nn.ModuleList(zero_init(nn.Linear(width, settings.code_width)) for _ in layout.slots)
        self.biases = nn.ParameterList(torch.zeros(slot.size) for slot in layout.slots)

    def forward(self, trunk: Float[Tensor, "m d"], vectors: Float[Tensor, "m s e"], embedding: CodeEmbedding
                ) -> Iterator[Float[Tensor, "m k"]]:
        """The logits of each slot, from the true codes of the slots before it."""
        before = F.pad(self.from_code(vectors[:, :-1]), (0, 0, 1, 0))
        hidden = self.blocks(self.from_trunk(trunk).unsqueeze(1) + before + self.slot_embedding)
        for slot in range(len(self.codebooks)):
            yield self.logits(slot, hidden[:, slot], embedding)

    def step(self, slot: int, frame: Float[Tensor, "m w"], vector: Float[Tensor, "m e"] | None,
             embedding: CodeEmbedding, cache: Cache) -> Float[Tensor, "m k"]:
        """The logits of a slot, from `from_trunk` of the frame and the vector of the code before it."""
        x = frame if vector is None else frame + self.from_code(vector)
        hidden = self.blocks((x + self.slot_embedding[slot]).unsqueeze(1), cache)
        return self.logits(slot, hidden[:, 0], embedding)

    def logits(self, slot: int, hidden: Float[Tensor, "m w"], embedding: CodeEmbedding) -> Float[Tensor, "m k"]:
        return F.linear(self.to_code[slot](hidden), embedding.table(slot), self.biases[slot])


class AutoregressivePrior(TokenPrior):
    """A causal trunk over frames and a depth decoder over the codes of a frame."""

    is_exact = True
    options = frozenset({"temperature", "top_k", "top_p", "guidance"})

    def __init__(self, settings: AutoregressiveSettings | PixelCNNSettings, codebooks: tuple[CodebookSpec, ...]):
        super().__init__(settings, codebooks)
        width = settings.width
        self.embedding = CodeEmbedding(self.layout, settings.code_width)
        self.project = nn.Linear(len(self.layout.slots) * settings.code_width, width)
        self.start = nn.Parameter(0.02 * torch.randn(width))
        self.condition_embedding = ConditionEmbedding(settings.condition, width)
        self.trunk = settings.trunk()
        self.depth = DepthDecoder(self.layout, settings)

    def prepare(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        self.embedding.init_from_vectors(vectors)

    def loss(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        condition = self.training_condition(condition)
        trunk = self.trunk(self.trunk_inputs(self.corrupt(codes)[:, :-1], condition))
        return -self.slot_log_probs(trunk, codes).sum() / (codes != ABSENT).sum()

    def corrupt(self, codes: Int[Tensor, "b n s"]) -> Int[Tensor, "b n s"]:
        """Replaces a random share of the codes by random ones in training."""
        if not self.training or not self.settings.corruption:
            return codes
        sizes = torch.tensor([slot.size for slot in self.layout.slots], device=codes.device)
        others = (torch.rand(codes.shape, device=codes.device) * sizes).long()
        return codes.where(torch.rand(codes.shape, device=codes.device) >= self.settings.corruption, others)

    def trunk_inputs(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None, first: bool = True
                     ) -> Float[Tensor, "b _ d"]:
        """The trunk's input for the frames after each of the given ones; with `first` also for the very first."""
        x = self.project(self.embedding(codes).flatten(-2))
        if first:
            x = torch.cat([self.start.expand(len(codes), 1, -1), x], 1)
        return x + self.condition_embedding(condition, len(codes)).unsqueeze(1)

    def slot_log_probs(self, trunk: Float[Tensor, "b n d"], codes: Int[Tensor, "b n s"]) -> Float[Tensor, "b n s"]:
        """The log-probabilities of codes under the trunk's output; 0 where they are `ABSENT`."""
        vectors, target = self.embedding(codes).flatten(0, 1), codes.flatten(0, 1)
        losses = [F.cross_entropy(at_least_float32(logits), target[:, slot], ignore_index=ABSENT, reduction="none")
                  for slot, logits in enumerate(self.depth(trunk.flatten(0, 1), vectors, self.embedding))]
        return -torch.stack(losses, -1).unflatten(0, codes.shape[:2])

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
        doubled = 2 if settings.guidance != 1 and condition is not None else 1
        if doubled == 2 and condition is not None:
            condition = torch.cat([condition, torch.zeros_like(condition)])
        cache: Cache = {}
        for frame in range(prefix, frames):
            first = frame == prefix
            before = codes[:, :frame] if first else codes[:, frame - 1:frame]
            trunk = self.trunk(self.trunk_inputs(before.repeat(doubled, 1, 1), condition, first), cache)[:, -1]
            self.draw_frame(codes[:, frame], trunk, uniform[:, frame], settings)
        return codes

    def draw_frame(self, codes: Int[Tensor, "b s"], trunk: Float[Tensor, "m d"], uniform: Float[Tensor, "b s"],
                   settings: SamplingSettings) -> None:
        """Draws the codes of a frame in place; with guidance the trunk has a second half without condition."""
        cache: Cache = {}
        vector, is_doubled = None, len(trunk) > len(codes)
        frame = self.depth.from_trunk(trunk)
        for slot in range(codes.shape[1]):
            logits = self.depth.step(slot, frame, vector, self.embedding, cache)
            if is_doubled:
                logits = guide(logits, settings.guidance)
            drawn = draw(logits, uniform[:, slot], settings)
            codes[:, slot] = drawn
            vector = self.embedding.slot(slot, drawn.repeat(2) if is_doubled else drawn)

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
