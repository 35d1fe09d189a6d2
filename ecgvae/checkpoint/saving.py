"""Saving a model to a folder: completely or not at all."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.checks import facts, nonfinite_weight
from ecgvae.checkpoint.files import config_kind, write_training_records
from ecgvae.checkpoint.identities import identity
from ecgvae.files import read_json, replace_folder

if TYPE_CHECKING:
    from torch import nn

    from ecgvae.data.training_data import TrainingData
    from ecgvae.models import Autoencoder

FORMAT = 2


def save(model: "Autoencoder", folder: str | Path, training: dict | None = None,
         metrics: dict | None = None, data: "TrainingData | None" = None) -> Path:
    """Writes a model to a folder; an older model there is replaced completely or not at all.

    Args:
        model: The model.
        folder: A new folder, or that of a model to replace.
        training: Facts about its training, as JSON values.
        metrics: Facts about its quality, as JSON values.
        data: The amplitudes and fingerprints of the records that it was trained on.

    Raises:
        FileExistsError: The folder exists and holds no model.
        ValueError: A weight is not finite, as after a training that diverged.
    """
    values = {
        "format": FORMAT,
        "identity": identity(model),
        "model": model.settings.model_dump(mode="json"),
        "facts": facts(model),
        "training": training or {},
        "metrics": metrics or {},
    }
    return write_checkpoint(Path(folder), model, values, data)


def write_checkpoint(folder: Path, module: "nn.Module", values: dict[str, Any], data: "TrainingData | None" = None,
                     add_files: Callable[[Path], object] | None = None) -> Path:
    """Writes a model or a prior to a folder; an older one of its kind there is replaced completely or not at all.

    Args:
        folder: The folder.
        module: The model or prior.
        values: Those of its config.json, to which the checksum of the weights, amplitudes and versions are added.
        data: Facts about the records that it was trained on.
        add_files: Writes further files to a temporary folder, its argument.

    Raises:
        FileExistsError: The folder exists and holds nothing of this kind.
        ValueError: A weight is not finite.
    """
    import torch
    from safetensors.torch import save as to_bytes

    from ecgvae import __version__

    kind = config_kind(values)
    if folder.exists() and not is_of_kind(folder, kind):
        raise FileExistsError(f"{folder} exists and is not a {kind}; wanted a new name")
    if name := nonfinite_weight(module):
        raise ValueError(f"{name} has NaN or infinity; wanted a {kind} with finite weights")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = to_bytes({name: value.contiguous() for name, value in module.state_dict().items()})
    values = {
        **values,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        **({"amplitudes": data.amplitudes.model_dump()} if data else {}),
        "versions": {"ecgvae": __version__, "torch": torch.__version__.split("+")[0]},
    }
    (partial / "config.json").write_text(json.dumps(values, indent=2) + "\n")
    (partial / "model.safetensors").write_bytes(weights)        # save_file makes it unreadable to other users
    if data:
        write_training_records(partial, data.fingerprints)
    if add_files:
        add_files(partial)
    replace_folder(partial, folder)
    return folder


def is_of_kind(folder: Path, kind: str) -> bool:
    """Whether a folder has the config.json of a model or prior; a damaged one counts as that of a model."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    try:
        return config_kind(dict(read_json(path))) == kind
    except (ValueError, TypeError):
        return kind == "model"
