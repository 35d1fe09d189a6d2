"""Settings of quantizers: learned codebooks (EMA or gradient), SimVQ and FSQ."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from ecgvae.models.backbone import Width
from ecgvae.nn.fsq import choose_levels
from ecgvae.nn.quantize import ResidualVectorQuantizer
from ecgvae.settings import Settings

GradientEstimator = Literal["straight-through", "rotation"]


class QuantizerSettings(Settings):
    """A residual stack of quantizers of one kind."""

    kind: str

    def build(self, dim: int, size: int, codebooks: int) -> ResidualVectorQuantizer:
        return ResidualVectorQuantizer(dim, size, codebooks, **self.model_dump())

    def check_size(self, dim: int, size: int) -> None:
        """Raises ValueError if a codebook of this size cannot exist in this number of dimensions."""


class VQSettings(QuantizerSettings):
    """Codebooks whose codes are updated one by one; see `ecgvae.nn.codebook.Codebook`."""

    former_names: ClassVar[dict[str, str]] = {"revive": "dead_code_threshold"}

    kind: Literal["vq"] = "vq"
    code_dim: Width | None = None           # the latent's dimension if None
    normalize: bool = False
    decay: float | None = Field(0.99, gt=0, lt=1)
    dead_code_threshold: float = Field(0.5, ge=0, lt=1)
    gradient: GradientEstimator = "straight-through"


class SimVQSettings(QuantizerSettings):
    """Codebooks whose codes all move through one linear map; see `ecgvae.nn.codebook.LinearCodebook`."""

    kind: Literal["simvq"] = "simvq"
    code_dim: Width | None = None
    normalize: bool = False
    gradient: GradientEstimator = "straight-through"


class FSQSettings(QuantizerSettings):
    """Points of a fixed grid; see `ecgvae.nn.fsq.ScalarQuantizer`."""

    kind: Literal["fsq"] = "fsq"

    def check_size(self, dim: int, size: int) -> None:
        choose_levels(size, dim)


def quantizer_by_kind(value: Any) -> Any:
    """A kind alone means its default settings; a block without a kind is vq."""
    if isinstance(value, str):
        return {"kind": value}
    return {"kind": "vq", **value} if isinstance(value, dict) else value


Quantizer = Annotated[VQSettings | SimVQSettings | FSQSettings, Field(discriminator="kind"),
                      BeforeValidator(quantizer_by_kind)]
