"""The contract of priors: a distribution over the tokens or the latent of an autoencoder, under a condition.

A prior knows codebooks (hop and size) or the latent (hop and channels), never signals or families.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec, LatentSpec
from ecgvae.conditions import ConditionSettings
from ecgvae.nn.causal import Cache
from ecgvae.priors.frames import ABSENT, FrameLayout
from ecgvae.priors.sampling import DEFAULT_SAMPLING, SamplingSettings
from ecgvae.settings import Settings


class PriorSettings(Settings):
    """Settings that every kind of prior has.

    In training, a share `partial_labels` of the records has only a random part of its labels, so that the prior can
    be asked for some labels when nothing is known of the others.
    """

    kind: str
    condition: ConditionSettings | None = None
    partial_labels: float = Field(0.3, ge=0, le=1)


class Prior(nn.Module, ABC):
    """A distribution over frames of codes or of a latent.

    Attributes:
        settings: The settings it was built from.
        condition: Settings of its condition, or None.
        hop: Samples of a frame.
        options: Those of `SamplingSettings` that change its samples.
    """

    hop: int
    options: frozenset[str] = frozenset()

    def __init__(self, settings: PriorSettings):
        super().__init__()
        self.settings: Any = settings
        self.condition = settings.condition

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}({parameters:,} parameters)"

    def __str__(self) -> str:
        """All layers, as torch shows them."""
        return super().__repr__()

    def training_condition(self, vector: Float[Tensor, "b k"] | None) -> Float[Tensor, "b k"] | None:
        """The condition of a training batch, of which random parts become unknown; unchanged in evaluation mode."""
        if vector is None or self.condition is None or not self.training:
            return vector
        return self.condition.drop(self.condition.drop_labels(vector, self.settings.partial_labels))

    def forward(self, frames: Tensor, condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """The loss, so that training on several processes goes through the module's call."""
        return self.loss(frames, condition)

    @abstractmethod
    def loss(self, *arguments: Any) -> Float[Tensor, ""]:
        """The training loss of frames of codes or of a latent under a condition."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class TokenPrior(Prior):
    """A prior over frames of codes (b, n, s), see `ecgvae.priors.frames.FrameLayout`.

    Attributes:
        layout: The codebooks and the order of their codes in a frame.
        is_exact: Whether `log_prob` is exact.
    """

    is_exact = False

    def __init__(self, settings: PriorSettings, codebooks: tuple[CodebookSpec, ...]):
        super().__init__(settings)
        self.layout = FrameLayout(codebooks)
        self.hop = self.layout.hop

    def prepare(self, vectors: Sequence[Float[Tensor, "_ _"]]) -> None:
        """Takes what is known before the first step: for each codebook, the vectors that its codes stand for.

        Codes with similar vectors mean similar signals, which a prior need not learn anew.
        """

    @abstractmethod
    def loss(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """The training loss in nats per code: the mean negative log-likelihood or a bound of it.

        Args:
            codes: Frames of codes; those that are `ABSENT` do not count.
            condition: `ConditionSettings.vector` of every record; by default unknown.
        """

    @abstractmethod
    def sample(self, count: int, frames: int, condition: Float[Tensor, "b k"] | None = None,
               generator: torch.Generator | None = None, settings: SamplingSettings = DEFAULT_SAMPLING,
               given: Int[Tensor, "b m s"] | None = None) -> Int[Tensor, "b n s"]:
        """Draws frames of codes.

        Args:
            count: Number of samples.
            frames: Length of each.
            condition: A vector for each sample; by default unknown.
            generator: A CPU generator, so that the samples do not depend on the device.
            settings: Options, of which those in `options` apply.
            given: Codes of the first m frames that are kept; `ABSENT` where a code is to be drawn.

        Raises:
            ValueError: The given codes do not fit the layout, or this kind of prior can't keep them.
        """

    def log_prob(self, codes: Int[Tensor, "b n s"], condition: Float[Tensor, "b k"] | None = None,
                 cache: Cache | None = None) -> Float[Tensor, "b n s"]:
        """The log-probability in nats of every code given all before it; 0 where it is `ABSENT`.

        Args:
            codes: Frames of codes.
            condition: `ConditionSettings.vector` of every record; by default unknown.
            cache: What is remembered of the frames before these, empty at the start, so that a long record can come in
                parts; by default these are the first frames.

        Raises:
            ValueError: This kind of prior has no exact one.
        """
        raise ValueError(f"a prior of kind {self.settings.kind} has no exact probabilities; wanted autoregressive or "
                         "pixelcnn")

    def check_codes(self, codes: Int[Tensor, "b n s"], may_be_absent: bool = True) -> None:
        """Raises ValueError unless the codes are those of this prior's codebooks."""
        if codes.ndim != 3 or codes.shape[-1] != len(self.layout.slots):
            raise ValueError(f"codes of shape {tuple(codes.shape)}; wanted (batch, frames, {len(self.layout.slots)})")
        sizes = torch.tensor([slot.size for slot in self.layout.slots], device=codes.device)
        if bool(((codes < (ABSENT if may_be_absent else 0)) | (codes >= sizes)).any()):
            raise ValueError("there are codes that the prior's codebooks do not have")


class LatentPrior(Prior):
    """A prior over a continuous latent (b, d, n)."""

    def __init__(self, settings: PriorSettings, latent: LatentSpec):
        super().__init__(settings)
        self.latent = latent
        self.hop = latent.hop

    @abstractmethod
    def prepare(self, z: Float[Tensor, "b d n"]) -> None:
        """Measures the scale of training latents, before the first step."""

    @abstractmethod
    def loss(self, z: Float[Tensor, "b d n"], condition: Float[Tensor, "b k"] | None = None) -> Float[Tensor, ""]:
        """The training loss."""

    @abstractmethod
    def sample(self, count: int, frames: int, condition: Float[Tensor, "b k"] | None = None,
               generator: torch.Generator | None = None, settings: SamplingSettings = DEFAULT_SAMPLING,
               given: Float[Tensor, "b d m"] | None = None) -> Float[Tensor, "b d n"]:
        """Draws latents; arguments as in `TokenPrior.sample`, with NaN where a number is to be drawn."""
