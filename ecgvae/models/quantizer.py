"""Settings of what turns a latent into codes: a learned book, a book learned as a whole, or a fixed grid."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ecgvae.models.backbone import Part, Width
from ecgvae.nn.quantize import ResidualVectorQuantizer
from ecgvae.nn.scalar import grid_of

Gradient = Literal["straight-through", "rotation"]


class Levels(Part):
    """Quantizers of one kind, each of what those before it left over."""

    kind: str

    def build(self, dim: int, size: int, codebooks: int) -> ResidualVectorQuantizer:
        return ResidualVectorQuantizer(dim, size, codebooks, **self.model_dump())

    def check(self, dim: int, size: int) -> None:
        """ValueError where there can't be so many codes in so many dimensions."""


class Books(Levels):
    """Codes that follow the data one by one; see `ecgvae.nn.codebook.Codebook`."""

    kind: Literal["vq"] = "vq"
    code_dim: Width | None = None
    normalize: bool = False
    decay: float | None = Field(0.99, gt=0, lt=1)
    revive: float = Field(0.5, ge=0, lt=1)
    gradient: Gradient = "straight-through"


class LinearBooks(Levels):
    """Codes that follow the data together, by one linear map; see `ecgvae.nn.codebook.LinearCodebook`."""

    kind: Literal["simvq"] = "simvq"
    code_dim: Width | None = None
    normalize: bool = False
    gradient: Gradient = "straight-through"


class Grids(Levels):
    """Points of a grid; see `ecgvae.nn.scalar.ScalarQuantizer`."""

    kind: Literal["fsq"] = "fsq"

    def check(self, dim: int, size: int) -> None:
        grid_of(size, dim)


def by_kind(value: Any) -> Any:
    """A kind alone stands for its defaults; a block is of learned books if not told."""
    if isinstance(value, str):
        return {"kind": value}
    return {"kind": "vq", **value} if isinstance(value, dict) else value


QuantizerSettings = Annotated[Books | LinearBooks | Grids, Field(discriminator="kind"), BeforeValidator(by_kind)]
