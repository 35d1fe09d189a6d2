"""The codes of a frame, one after the other: a small decoder that the priors over tokens share.

Shapes: s slots of a frame, m frames, r rows (frames, twice as many with guidance), d width of the trunk, w width of the
decoder, e width of the embeddings of codes, k codes of a codebook.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ecgvae.models.backbone import Width
from ecgvae.nn.causal import Cache, CausalTransformer
from ecgvae.nn.transformer import at_least_float32, zero_init
from ecgvae.priors.embedding import CodeEmbedding
from ecgvae.priors.frames import ABSENT, FrameLayout
from ecgvae.priors.prior import PriorSettings
from ecgvae.priors.sampling import SamplingSettings, draw, guide


class DepthSettings(PriorSettings):
    """What both kinds have: the width of the embeddings of codes, and the depth decoder.

    `corruption` is the share of codes in the input that are replaced by random ones in training, so that the prior
    learns to go on after an unlikely code. `residual` says that the vectors of a residual quantizer's codes are added
    up; without it, each code of a frame is an input of its own.
    """

    width: Width = 192
    code_width: Width = 64
    depth_width: Width = 128
    depth_layers: int = Field(1, ge=1, le=32)
    depth_heads: int = Field(4, ge=1, le=64)
    dropout: float = Field(0.1, ge=0, lt=1)
    corruption: float = Field(0.0, ge=0, lt=1)
    residual: bool = False


class DepthDecoder(nn.Module):
    """Predicts the codes of a frame in turn from the trunk's output: a causal transformer over slots.

    The input of a slot is the sum of the codes before it that add up, see `CodeEmbedding` (Lee et al. 2022, eq. 10).

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
        before = F.pad(self.from_code(embedding.running_sums(vectors)[:, :-1]), (0, 0, 1, 0))
        hidden = self.blocks(self.from_trunk(trunk).unsqueeze(1) + before + self.slot_embedding)
        for slot in range(len(self.codebooks)):
            yield self.logits(slot, hidden[:, slot], embedding)

    def step(self, slot: int, frame: Float[Tensor, "m w"], before: Float[Tensor, "m e"] | None,
             embedding: CodeEmbedding, cache: Cache) -> Float[Tensor, "m k"]:
        """The logits of a slot, from `from_trunk` of the frame and the sum up to the slot before it."""
        x = frame if before is None else frame + self.from_code(before)
        hidden = self.blocks((x + self.slot_embedding[slot]).unsqueeze(1), cache)
        return self.logits(slot, hidden[:, 0], embedding)

    def logits(self, slot: int, hidden: Float[Tensor, "m w"], embedding: CodeEmbedding) -> Float[Tensor, "m k"]:
        return F.linear(self.to_code[slot](hidden), embedding.table(slot), self.biases[slot])

    def log_probs(self, trunk: Float[Tensor, "m d"], codes: Int[Tensor, "m s"], embedding: CodeEmbedding
                  ) -> Float[Tensor, "m s"]:
        """The log-probability of every code of frames given those before in its frame; 0 where it is `ABSENT`."""
        vectors = embedding(codes.unsqueeze(0)).squeeze(0)
        losses = [F.cross_entropy(at_least_float32(logits), codes[:, slot], ignore_index=ABSENT, reduction="none")
                  for slot, logits in enumerate(self(trunk, vectors, embedding))]
        return -torch.stack(losses, -1)

    def draw(self, codes: Int[Tensor, "m s"], trunk: Float[Tensor, "r d"], uniform: Float[Tensor, "m s"],
             embedding: CodeEmbedding, settings: SamplingSettings) -> Int[Tensor, "m s"]:
        """Draws the `ABSENT` codes of frames in turn; with guidance the trunk has a second half without condition."""
        cache: Cache = {}
        before: Tensor | None = None
        drawn, frame = codes.clone(), self.from_trunk(trunk)
        for slot in range(codes.shape[1]):
            logits = self.step(slot, frame, before, embedding, cache)
            if len(trunk) > len(codes):
                logits = guide(logits, settings.guidance)
            code = draw(logits, uniform[:, slot], settings)
            drawn[:, slot] = codes[:, slot].where(codes[:, slot] != ABSENT, code)
            vector = embedding.slot(slot, drawn[:, slot]).repeat(len(trunk) // len(codes), 1)
            before = vector if before is None or embedding.starts_group(slot) else before + vector
        return drawn
