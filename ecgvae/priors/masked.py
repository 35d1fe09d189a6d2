"""Masked discrete diffusion: a network that sees both sides fills in hidden frames, a few at a time, in any order.

Shapes: b batch, n frames, s slots of a frame, d width of the trunk, m rows (frames that are drawn or predicted), r rows
with those of guidance.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.nn.transformer import TransformerBlocks
from ecgvae.priors.depth import DepthDecoder, DepthSettings
from ecgvae.priors.embedding import CodeEmbedding, ConditionEmbedding
from ecgvae.priors.frames import ABSENT
from ecgvae.priors.prior import TokenPrior
from ecgvae.priors.sampling import DEFAULT_SAMPLING, SamplingSettings, guide, with_unconditional
from ecgvae.priors.unmasking import first_frames, random_given, spread_keys, step_counts, stratified

DEFAULT_STEPS = 32          # network evaluations of a sample
EQUAL_CONFIDENCE = 1e-6     # probabilities that differ by less are equal, so that rounding does not decide the order


class MaskedSettings(DepthSettings):
    """A transformer with rotary positions, in which a frame attends to `window` frames on either side.

    In training, a share `given` of the records has a random part that is always visible, as in in-painting.
    """

    kind: Literal["masked"] = "masked"
    layers: int = Field(4, ge=1, le=64)
    heads: int = Field(6, ge=1, le=64)
    window: int = Field(128, ge=1, le=1 << 12)
    given: float = Field(0.2, ge=0, le=1)


class MaskedPrior(TokenPrior):
    """A bidirectional trunk over frames, some of them hidden, and a depth decoder over the codes of a hidden frame.

    Frames are hidden and drawn whole, and a depth decoder draws the codes of a frame in turn: codes drawn together
    would not know of each other, which hurts most within a frame of residual codes. A hidden code has the vector zero
    and a mark.
    """

    options = frozenset({"temperature", "top_k", "top_p", "guidance", "steps", "order"})

    def __init__(self, settings: MaskedSettings, codebooks: tuple[CodebookSpec, ...]):
        super().__init__(settings, codebooks)
        width = settings.width
        self.embedding = CodeEmbedding(self.layout, settings.code_width, settings.residual)
        self.project = nn.Linear(self.embedding.width + len(self.layout.slots), width)
        self.condition_embedding = ConditionEmbedding(settings.condition, width)
        self.blocks = TransformerBlocks(width, settings.layers, settings.heads, settings.window, settings.dropout)
        self.norm = nn.LayerNorm(width)
        self.depth = DepthDecoder(self.layout, settings)

    def prepare(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        self.embedding.init_from_vectors(vectors)

    def loss(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """An upper bound of the mean negative log-likelihood in nats per code, estimated with random hidden frames.

        Of n frames a number m, uniform on 1 to n, is hidden, and the cross-entropy of their codes counts n / m times
        (Hoogeboom et al. 2022, eq. 4). It has the mean of MDLM's loss, which hides each frame with probability t and
        has the weight 1 / t (Sahoo et al. 2024, eq. 10), and less variance. In training mode, codes that are given
        to the network do not count.
        """
        given = random_given(codes.shape, self.settings.given if self.training else 0.0, codes.device)
        hidden, weight = hide_frames(~given.all(-1))
        is_target = ~given & (codes != ABSENT)
        visible = codes.masked_fill(hidden.unsqueeze(-1) & ~given, ABSENT)
        if self.training:
            visible = self.layout.corrupt(visible, self.settings.corruption)
        trunk = self.trunk(visible, self.training_condition(condition))
        losses = -self.depth.log_probs(trunk[hidden], codes[hidden], self.embedding) * is_target[hidden]
        rows = weight.unsqueeze(1).expand_as(hidden)[hidden]
        return (losses.sum(1) * rows).sum() / is_target.sum()

    def trunk(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None) -> Float[Tensor, "b n d"]:
        """What the network knows of every frame from the visible codes; `ABSENT` codes are hidden."""
        vectors = self.embedding.frames(codes)
        x = self.project(torch.cat([vectors, (codes == ABSENT).type_as(vectors)], -1))
        x = x + self.condition_embedding(condition, len(codes)).unsqueeze(1)
        return self.norm(self.blocks(x.mT).mT)

    @torch.no_grad()
    def bound(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None,
              generator: torch.Generator | None = None, steps: int | None = None) -> Float[Tensor, "b n s"]:
        """The log-probability in nats of every code when `sample` draws it, in one random order of frames.

        The sum over a record is the logarithm of the probability that `sample` draws it in this order, which is at
        most that of drawing it in any order, on average over orders.

        Args:
            codes: Frames of codes; `ABSENT` ones have the value 0.
            condition: `ConditionSettings.vector` of every record; by default unknown.
            generator: A CPU generator, from which the order is drawn.
            steps: Number of network evaluations; by default those of `sample`.

        Raises:
            ValueError: The codes are not those of this prior's codebooks.
        """
        self.check_codes(codes)
        visible = torch.full_like(codes, ABSENT)
        result = self.project.weight.new_zeros(codes.shape)
        hidden = (codes != ABSENT).any(-1)
        shift = torch.rand(len(codes), generator=generator, dtype=torch.float64).to(self.device)
        keys = spread_keys(codes.shape[1], shift)
        for count in step_counts(hidden.sum(1), DEFAULT_STEPS if steps is None else steps).unbind(1):
            chosen = first_frames(keys, hidden, count)
            if chosen.any():
                result[chosen] = self.depth.log_probs(self.trunk(visible, condition)[chosen], codes[chosen],
                                                      self.embedding)
                visible[chosen] = codes[chosen]
                hidden &= ~chosen
        return result

    @torch.inference_mode()
    def sample(self, count: int, frames: int, condition: Float[Tensor, "b k"] | None = None,
               generator: torch.Generator | None = None, settings: SamplingSettings = DEFAULT_SAMPLING,
               given: Int[Tensor, "b m s"] | None = None) -> Int[Tensor, "b n s"]:
        codes = self.start_codes(count, frames, given)
        uniform = torch.rand(count, 1 + frames * codes.shape[2], generator=generator, dtype=torch.float64)
        uniform = uniform.to(self.device)       # of each sample the order of its frames, then its codes
        spread, uniform = spread_keys(frames, uniform[:, 0]), uniform[:, 1:].view(codes.shape)
        condition, copies = with_unconditional(condition, settings.guidance)
        hidden = (codes == ABSENT).any(-1)
        for number in step_counts(hidden.sum(1), settings.steps or DEFAULT_STEPS).unbind(1):
            if not hidden.any():
                break
            trunk = self.trunk(codes.repeat(copies, 1, 1), condition).unflatten(0, (copies, count))
            keys = spread
            if settings.order == "confidence":      # frames of equal confidence are spread too
                keys = spread - (self.confidence(trunk, settings) / EQUAL_CONFIDENCE).round()
            chosen = first_frames(keys, hidden, number)
            codes[chosen] = self.depth.draw(codes[chosen], trunk[:, chosen].flatten(0, 1), uniform[chosen],
                                            self.embedding, settings)
            hidden &= ~chosen
        return codes

    def confidence(self, trunk: Float[Tensor, "g b n d"], settings: SamplingSettings) -> Float[Tensor, "b n"]:
        """The probability of the most probable code of each frame's first slot."""
        logits = self.depth.step(0, self.depth.from_trunk(trunk.flatten(0, 2)), None, self.embedding, {})
        if len(trunk) > 1:
            logits = guide(logits, settings.guidance)
        return logits.softmax(-1).amax(-1).view(trunk.shape[1:3])

    def start_codes(self, count: int, frames: int, given: Int[Tensor, "b m s"] | None) -> Int[Tensor, "b n s"]:
        """Frames with the given codes, `ABSENT` where a code is to be drawn; ValueError if they do not fit."""
        codes = torch.full((count, frames, len(self.layout.slots)), ABSENT, device=self.device)
        if given is not None:
            self.check_codes(given)
            if len(given) != count or given.shape[1] > frames:
                raise ValueError(f"given codes of shape {tuple(given.shape)}; wanted at most {frames} frames of "
                                 f"{count} samples")
            codes[:, :given.shape[1]] = given
        return codes


def hide_frames(allowed: Bool[Tensor, "b n"]) -> tuple[Bool[Tensor, "b n"], Float[Tensor, "b"]]:
    """Hides a random number of the allowed frames of every record.

    Returns:
        The frames that are hidden, and how many times as many are allowed.
    """
    total = allowed.sum(1)
    count = (stratified(len(allowed), allowed.device) * total).ceil().long().clamp(min=1)
    keys = torch.rand(allowed.shape, device=allowed.device)
    return first_frames(keys, allowed, count), total / count
