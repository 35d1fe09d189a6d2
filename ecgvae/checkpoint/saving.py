"""Saving a model to a folder: completely or not at all."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvae.checkpoint.checks import facts, nonfinite_weight
from ecgvae.checkpoint.files import write_training_records
from ecgvae.checkpoint.identities import identity

if TYPE_CHECKING:
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
    import torch
    from safetensors.torch import save as to_bytes

    from ecgvae import __version__

    folder = Path(folder)
    if folder.exists() and not (folder / "config.json").is_file():
        raise FileExistsError(f"{folder} exists and is not a model; wanted a new name")
    if name := nonfinite_weight(model):
        raise ValueError(f"{name} has NaN or infinity; wanted a model with finite weights")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = to_bytes({name: value.contiguous() for name, value in model.state_dict().items()})
    values = {
        "format": FORMAT,
        "identity": identity(model),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "model": model.settings.model_dump(mode="json"),
        "facts": facts(model),
        "training": training or {},
        "metrics": metrics or {},
        **({"amplitudes": data.amplitudes.model_dump()} if data else {}),
        "versions": {"ecgvae": __version__, "torch": torch.__version__.split("+")[0]},
    }
    (partial / "config.json").write_text(json.dumps(values, indent=2) + "\n")
    (partial / "model.safetensors").write_bytes(weights)        # save_file makes it unreadable to other users
    if data:
        write_training_records(partial, data.fingerprints)
    rename_into_place(partial, folder)
    return folder


def rename_into_place(partial: Path, folder: Path) -> None:
    """Renames a finished folder into place; an older one there is kept until then."""
    backup = folder.with_name(folder.name + ".replaced")
    shutil.rmtree(backup, ignore_errors=True)
    if folder.exists():
        os.replace(folder, backup)
    try:
        os.replace(partial, folder)
    except OSError:
        if backup.exists():
            os.replace(backup, folder)
        raise
    shutil.rmtree(backup, ignore_errors=True)
