"""The files of a saved model or prior, config.json and model.safetensors, checked when they are read."""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from ecgvae.checkpoint.schema import CONFIGS, ModelHead, PriorHead
from ecgvae.data.fingerprints import BITS, TrainingRecords
from ecgvae.files import check_regular, read_json, read_regular_file
from ecgvae.settings import describe_error
from ecgvae.wording import one_line

# Format 1 of models has former names of settings and weights, and no identity in its config.
READABLE_FORMATS = {"model": (1, 2), "prior": (1,)}
MAX_HEADER_BYTES = 1 << 24       # of a file of weights
TRAINING_RECORDS = "training_records.safetensors"


def read_prior_head(path: Path) -> PriorHead:
    """Kind and condition in a file config.json of a prior; ValueError, in one line, if it is damaged."""
    try:
        return PriorHead.model_validate(read_config(path, "prior")["prior"])
    except ValidationError as error:
        raise ValueError(f"{path} is damaged: {describe_error(error, 'prior')}") from None


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
