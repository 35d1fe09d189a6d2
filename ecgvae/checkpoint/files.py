"""The files of a saved model or prior, config.json and model.safetensors, checked when they are read."""

import hashlib
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecgvae.data.fingerprints import BITS, TrainingRecords
from ecgvae.files import check_regular, read_json, read_regular_file
from ecgvae.settings import describe_error
from ecgvae.signal import SignalSpec
from ecgvae.signal.amplitudes import Amplitudes
from ecgvae.wording import one_line

# Format 1 of models has former names of settings and weights, and no identity in its config.
READABLE_FORMATS = {"model": (1, 2), "prior": (1,)}
MAX_HEADER_BYTES = 1 << 24       # of a file of weights
TRAINING_RECORDS = "training_records.safetensors"
MAX_SLOTS = 1 << 12             # codes of a frame of a prior
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
    """All of config.json; files of earlier versions lack what is optional. `model` is checked when it is built."""

    format: int
    model: Any
    identity: Identity | None = None
    earlier_identities: list[Identity] = []
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    facts: Facts | None = None
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    amplitudes: Amplitudes | None = None
    versions: dict[str, Any] = {}


class LatentFacts(Block):
    """Hop in samples and numbers of a frame of a continuous latent."""

    hop: int = Field(ge=1, le=1 << 32)
    channels: int = Field(ge=1, le=1 << 32)


class PriorAutoencoder(Block):
    """The autoencoder of a prior, and those of its codebooks, or the latent, that the prior is over."""

    name: str = Field(min_length=1, max_length=1000)
    identity: Identity
    codebooks: list[CodebookFacts] = Field([], max_length=1024)
    latent: LatentFacts | None = None

    @model_validator(mode="after")
    def _check_size(self):
        if bool(self.codebooks) == (self.latent is not None):
            raise ValueError("codebooks and a latent, or none of them; wanted one")
        longest = max((spec.hop for spec in self.codebooks), default=1)
        if sum(longest // spec.hop for spec in self.codebooks) > MAX_SLOTS:
            raise ValueError(f"codebooks with too many codes in {longest} samples; wanted at most {MAX_SLOTS}")
        return self


class PriorFacts(Block):
    """Facts about a prior, which can be read without loading it."""

    parameters: int = Field(ge=0, le=1 << 48)
    hop: int = Field(ge=1, le=1 << 32)


class PriorConfig(Block):
    """All of config.json of a prior. `prior` is checked when it is built."""

    format: int
    prior: Any
    autoencoder: PriorAutoencoder
    identity: Identity
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    facts: PriorFacts
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    amplitudes: Amplitudes | None = None
    versions: dict[str, Any] = {}


CONFIGS: dict[str, type[Block]] = {"model": ModelConfig, "prior": PriorConfig}


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


def read_config(path: Path, wanted: str | None = "model") -> dict[str, Any]:
    """The checked values in a file config.json.

    Args:
        path: The file.
        wanted: "model" or "prior"; None for either.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, of another format, or that of the other kind.
    """
    description = f"JSON with format and {wanted or 'model'}"
    values = read_json(path, description)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged; wanted {description}")
    kind = config_kind(values)
    if wanted not in (None, kind):
        raise ValueError(f"{path.parent} is a {kind}; wanted a {wanted}")
    version, formats = values.get("format"), READABLE_FORMATS[kind]
    if type(version) is int and version not in formats:
        raise ValueError(f"{path.parent} has {kind} format {version}; this version reads "
                         f"{'formats' if len(formats) > 1 else 'format'} {' and '.join(map(str, formats))}")
    try:
        CONFIGS[kind].model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {describe_error(error)}") from None
    return values


def config_kind(values: dict[str, Any]) -> str:
    """Whether the values of a config.json are those of a "prior" or, by default, of a "model"."""
    return "prior" if "prior" in values and "model" not in values else "model"


def read_weights(folder: Path, max_bytes: int | None = None) -> bytes:
    """The content of model.safetensors.

    Args:
        folder: The folder of the model.
        max_bytes: The largest size that is read.

    Raises:
        ValueError: It is missing, no regular file, too large, or has another checksum than config.json says.
    """
    path = folder / "model.safetensors"
    try:
        content = read_regular_file(path, "weights", max_bytes)
    except FileNotFoundError:
        raise ValueError(f"{folder} has no model.safetensors") from None
    expected = read_config(folder / "config.json", None).get("weights_sha256")
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"{path} is damaged: its checksum is not that in config.json")
    return content


def count_weights(folder: Path) -> int:
    """The number of weights in model.safetensors by its header, read without torch; ValueError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    path = folder / "model.safetensors"
    try:
        with safe_open(check_regular(path, "weights"), "numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    except FileNotFoundError:
        raise ValueError(f"{folder} has no model.safetensors") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged: {one_line(error, 200)}") from None


def write_training_records(folder: Path, fingerprints: np.ndarray) -> None:
    """Writes the fingerprints (n, 32) of the training records to the folder of a model."""
    from safetensors.numpy import save as to_bytes

    (folder / TRAINING_RECORDS).write_bytes(to_bytes({"fingerprints": fingerprints}))


def read_training_records(folder: Path) -> TrainingRecords | None:
    """The fingerprints of the training records of a model; None if there is no such file, ValueError if it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    path = folder / TRAINING_RECORDS
    try:
        fingerprints = from_bytes(read_regular_file(path, "fingerprints"))["fingerprints"]
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError):
        raise ValueError(f"{path} is damaged; wanted the fingerprints of training records") from None
    if fingerprints.dtype != np.uint8 or fingerprints.shape[1:] != (BITS // 8,):
        raise ValueError(f"{path} has {fingerprints.dtype} {fingerprints.shape}; wanted uint8 (n, {BITS // 8})")
    return TrainingRecords(fingerprints)
