"""How samples are drawn: the options, and a code from its logits."""

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ecgvae.settings import Settings


class SamplingSettings(Settings):
    """Options of sampling; each kind of prior has those that apply to it.

    Attributes:
        temperature: Logits are divided by it; below 1 samples are more typical and less diverse.
        top_k: Only the k most probable codes are drawn; None for all.
        top_p: Only the most probable codes with this share of the probability are drawn (Holtzman et al. 2020).
        guidance: Weight of the condition (Ho and Salimans 2022): 1 is the model's own distribution, more exaggerates
            the condition.
        steps: Number of network evaluations, of priors that draw all codes in several steps; None for the prior's own.
        order: "uniform" spreads the codes of a step over time, "confidence" takes the most probable ones first.
        solver: Of latent priors: "heun" or "euler" of flows, "ddim" or "ddpm" of Gaussian diffusion; None for the
            prior's own.
    """

    temperature: float = Field(1.0, gt=0, le=100)
    top_k: int | None = Field(None, ge=1)
    top_p: float = Field(1.0, gt=0, le=1)
    guidance: float = Field(1.0, ge=0, le=100)
    steps: int | None = Field(None, ge=1, le=10_000)
    order: str = Field("uniform", pattern="^(uniform|confidence)$")
    solver: str | None = Field(None, pattern="^(ddpm|ddim|euler|heun)$")

    @property
    def changed(self) -> frozenset[str]:
        """The names of the options that differ from their defaults."""
        fields = type(self).model_fields.items()
        return frozenset(name for name, field in fields if getattr(self, name) != field.default)


DEFAULT_SAMPLING = SamplingSettings()


def draw(logits: Float[Tensor, "b k"], uniform: Float[Tensor, "b"], settings: SamplingSettings) -> Int[Tensor, "b"]:
    """Draws a code from each row of logits by inverting the distribution function at a uniform number.

    Probabilities are in float64: float32 noise cuts off the tail of the distribution, which lowers diversity.
    """
    if settings.temperature != 1:
        logits = logits.double() / settings.temperature
    cumulative = truncate(logits.softmax(-1, dtype=torch.float64), settings).cumsum(-1)
    indices = torch.searchsorted(cumulative, uniform.unsqueeze(1) * cumulative[:, -1:], right=True)
    return indices.squeeze(1).clamp_(max=logits.shape[1] - 1)


def truncate(probabilities: Float[Tensor, "b k"], settings: SamplingSettings) -> Float[Tensor, "b k"]:
    """Sets the codes to zero that `top_k` and `top_p` exclude."""
    if settings.top_k is not None and settings.top_k < probabilities.shape[1]:
        least = probabilities.topk(settings.top_k, -1).values[:, -1:]
        probabilities = probabilities.where(probabilities >= least, 0)
    if settings.top_p < 1:
        ordered, indices = probabilities.sort(-1, descending=True)
        total = ordered.sum(-1, keepdim=True)
        kept = ordered.cumsum(-1) - ordered < settings.top_p * total
        probabilities = torch.zeros_like(probabilities).scatter(-1, indices, ordered.where(kept, 0))
    return probabilities


def guide(logits: Float[Tensor, "m k"], guidance: float) -> Float[Tensor, "b k"]:
    """Logits moved away from those without condition, the second half of the rows (Ho and Salimans 2022, eq. 6)."""
    conditional, unconditional = logits.log_softmax(-1).chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def with_unconditional(condition: Float[Tensor, "b k"] | None, guidance: float
                       ) -> tuple[Float[Tensor, "_ k"] | None, int]:
    """The conditions of the rows that guidance needs, and how many copies of the samples these are, 1 or 2."""
    if condition is None or guidance == 1:
        return condition, 1
    return torch.cat([condition, torch.zeros_like(condition)]), 2
