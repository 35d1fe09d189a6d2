"""The config.json of a saved model, checked when it is read; its block `model` is checked when the model is built."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ecgvae.files import read_json
from ecgvae.settings import describe_error
from ecgvae.signal import SignalSpec

READABLE_FORMATS = (1, 2)       # 1 has former names of settings and weights, and no identity in its config
WANTED = "JSON with format and model"
Identity = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")]


class Block(BaseModel):
    """A block of config.json. Unknown keys, which a later version may write, are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class CodebookFacts(Block):
    """Hop in samples and number of codes of a codebook."""

    hop: int = Field(ge=1, le=1 << 32)
    size: int = Field(ge=1, le=1 << 32)


class Facts(Block):
    """Facts about the model, which can be read without loading it."""

    parameters: int = Field(ge=0, le=1 << 48)
    hop: int = Field(ge=1, le=1 << 32)
    latent: int = Field(ge=1, le=1 << 32)
    codebooks: list[CodebookFacts] = Field(max_length=1024)


class ModelConfig(Block):
    """All of config.json. What is optional is missing in files of earlier versions."""

    format: int
    model: Any
    identity: Identity | None = None
    earlier_identities: list[Identity] = []
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    facts: Facts | None = None
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    versions: dict[str, Any] = {}


class BackboneHead(Block):
    """The kind of a backbone."""

    kind: str = Field("conv", max_length=100)


class ModelHead(Block):
    """What is read of the block `model` without building the model."""

    family: str = Field(max_length=100)
    signal: SignalSpec = SignalSpec()
    backbone: BackboneHead = BackboneHead()


def read_head(path: Path) -> ModelHead:
    """Family, signal and kind of backbone in a file config.json; ValueError, in one line, if it is damaged."""
    try:
        return ModelHead.model_validate(read_config(path)["model"])
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {describe_error(error, 'model')}") from None


def read_config(path: Path) -> dict[str, Any]:
    """The checked values in a file config.json.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or of another format.
    """
    values = read_json(path, WANTED)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged; wanted {WANTED}")
    version = values.get("format")
    if type(version) is int and version not in READABLE_FORMATS:
        raise ValueError(f"{path.parent} has model format {version}; this version reads formats "
                         f"{' and '.join(map(str, READABLE_FORMATS))}")
    try:
        ModelConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {describe_error(error)}") from None
    return values
