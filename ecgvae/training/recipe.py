"""A recipe: everything that decides a training, read from YAML and checked before anything runs."""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator

from ecgvae.models import Settings, parse_settings
from ecgvae.settings import describe_error
from ecgvae.training.adversarial import AdversarialSettings
from ecgvae.training.noising import Noise

UNREADABLE = (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError)     # what PyYAML raises
Decay = Annotated[float, Field(ge=0, lt=1)]


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Weights(Block):
    """Weight of every loss term, under the name it has in the log; a weight of 0 leaves the term out."""

    prdn: float = Field(1.0, ge=0)
    derivative: float = Field(0.0, ge=0)
    spectral: float = Field(0.0, ge=0)
    commitment: float = Field(0.25, ge=0)
    codebook: float = Field(1.0, ge=0)
    usage_loss: float = Field(1.0, ge=0)
    nll: float = Field(1.0, ge=0)
    kl: float = Field(1.0, ge=0)            # the beta of a VAE
    kl_warmup: int = Field(0, ge=0)         # steps in which kl grows from nothing to its weight

    def at(self, step: int) -> dict[str, float]:
        """The weight of every term at a step."""
        weights = self.model_dump(exclude={"kl_warmup"})
        return weights | {"kl": self.kl * min(1.0, step / max(1, self.kl_warmup))}


class Augmentation(Block):
    """How training signals are varied; see `ecgvae.training.augment`."""

    gain: float = Field(0.0, ge=0)
    mixing: float = Field(0.0, ge=0)
    stretch: float = Field(0.0, ge=0, le=0.4)


class Training(Block):
    """Length of a training and its optimizer (Muon with warm-up and cosine decay, averaged weights)."""

    steps: int = Field(10_000, ge=1)
    batch_size: int = Field(32, ge=1)           # on each device
    window: float = Field(10.0, gt=0)           # seconds
    learning_rate: float = Field(4e-3, gt=0)
    warmup: int = Field(200, ge=0)              # steps
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    momentum: Decay = 0.95
    weight_decay: float = Field(1e-4, ge=0)
    clip: float = Field(1.0, gt=0)              # norm of the gradient
    average: Decay = 0.99                       # decay of the averaged weights, which are the ones kept
    start_from: str | None = None               # a trained model (a shipped name or a folder) to begin with
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    compile: bool = False
    seed: int = 0
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    save_every: int = Field(500, ge=1)


class Recipe(Block):
    model: SerializeAsAny[Settings]
    loss: Weights = Weights()
    augment: Augmentation = Augmentation()
    noise: Noise | None = None
    adversarial: AdversarialSettings | None = None
    training: Training = Training()

    @field_validator("model", mode="before")
    @classmethod
    def by_family(cls, value: Any) -> Any:
        return parse_settings(value) if isinstance(value, dict) else value


def read_recipe(path: str | Path, changes: tuple[str, ...] = ()) -> Recipe:
    """Read a YAML recipe; changes are `key.path=value`, the value in YAML. ValueError names file and key."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except UNREADABLE as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}; it must hold blocks: model, loss, training, ...")
    for change in changes:
        apply(values, change)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {describe_error(error)}") from None


def apply(values: dict, change: str) -> None:
    """Set one `key.path=value` in nested blocks."""
    key, equals, text = change.partition("=")
    path = key.strip().split(".")
    shown = " ".join(change.split())
    if not equals or not all(path):
        raise ValueError(f"--set {shown}; it must be key.path=value")
    for block in path[:-1]:
        values = values.setdefault(block, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {shown}; {block} is a value, not a block")
    try:
        values[path[-1]] = yaml.safe_load(text)
    except UNREADABLE:
        raise ValueError(f"--set {shown}; the value is not YAML") from None
