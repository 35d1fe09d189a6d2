"""Models on disk: a folder with config.json and model.safetensors, nothing that could run code."""

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint_files import (
    MAX_HEADER_BYTES,
    read_config,
    read_training_records,
    read_weights,
    write_training_records,
)

if TYPE_CHECKING:
    import torch

    from ecgvae.data.fingerprints import TrainingRecords
    from ecgvae.data.training_data import TrainingData
    from ecgvae.models import Autoencoder
    from ecgvae.signal.amplitudes import Amplitudes

FORMAT = 2
PRETRAINED = Path(__file__).parent / "pretrained"


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(model: str | Path) -> Path:
    """The folder of a model.

    Args:
        model: A checkpoint folder, the folder of a training run, or the name of a shipped model. A folder that
            exists comes before a name.

    Raises:
        FileNotFoundError: There is neither such a folder nor such a name.
    """
    folder = Path(model)
    if folder.is_dir():
        inside_run = folder / "model"
        return inside_run if not (folder / "config.json").exists() and (inside_run / "config.json").exists() else folder
    if str(model) in pretrained():
        return PRETRAINED / str(model)
    names = pretrained()
    raise FileNotFoundError(f"no model {model}; wanted a checkpoint folder or one of {', '.join(names)}")


def model_name(model: str | Path) -> str:
    """The display name of a model: that of its folder, or of its run folder."""
    folder = locate(model).resolve()
    is_of_run = folder.name == "model" and (folder.parent / "recipe.json").exists()
    return folder.parent.name if is_of_run else folder.name


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


def training_records(model: str | Path) -> "TrainingRecords | None":
    """The fingerprints of the records that a model was trained on; None if its checkpoint does not have them.

    Raises:
        ValueError: Their file is damaged.
    """
    return read_training_records(locate(model))


def amplitudes(model: str | Path) -> "Amplitudes | None":
    """The amplitudes of the records that a model was trained on; None if its checkpoint does not have them."""
    from ecgvae.signal.amplitudes import Amplitudes

    values = config(model).get("amplitudes")
    return None if values is None else Amplitudes.model_validate(values)


def facts(model: "Autoencoder") -> dict[str, Any]:
    """Facts about a model for its config.json, which can be read without loading the model."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "hop": model.hop,
            "latent": model.settings.latent, "codebooks": [asdict(spec) for spec in model.codebook_specs]}


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


def config(model: str | Path) -> dict[str, Any]:
    """The checked config.json of a model given by folder or name.

    Raises:
        ValueError: It is missing, damaged or of another format.
    """

    folder = locate(model)
    try:
        return read_config(folder / "config.json")
    except FileNotFoundError:
        if (folder / "recipe.json").exists():
            raise ValueError(f"{folder} is a run without a model yet; finish it with train --resume") from None
        raise ValueError(f"{folder} is not an ecgvae model: it has no config.json") from None


def load(model: str | Path, device: str = "cpu") -> "Autoencoder":
    """Loads a model of any family, in evaluation mode.

    Memory use is bounded by the file of weights, even if config.json asks for more.

    Args:
        model: The name of a shipped model, a checkpoint folder, or the folder of a training run.
        device: A device by torch's name, or "auto" for a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: It is damaged, its weights do not fit its settings or are not finite, or torch cannot use the
            device.

    Example:
        >>> model = ecgvae.load("ptbxl-vae-conv")
        >>> z = model.encode(torch.zeros(1, 8, 1000))       # (batch, coded leads, samples) in mV
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    from ecgvae.legacy import rename_weights
    from ecgvae.models import build

    folder = locate(model)
    settings, target = settings_of(folder), select_device(device)
    path = folder / "model.safetensors"
    try:
        with torch.device("meta"):      # takes no memory for weights, however many the settings ask for
            module = build(settings)
        wanted = module.state_dict()
        most_bytes = MAX_HEADER_BYTES + 2 * sum(value.nbytes for value in wanted.values())
        module.load_state_dict(rename_weights(from_bytes(read_weights(folder, most_bytes))), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit its config.json: {' '.join(str(error).split())[:200]}") from None
    for name, value in module.state_dict().items():
        if value.dtype != wanted[name].dtype:
            raise ValueError(f"{path} has {name} in {value.dtype}; wanted {wanted[name].dtype}")
    if bad := nonfinite_weight(module):
        raise ValueError(f"{path} has {bad} with NaN or infinity; wanted finite weights")
    check_facts(module, folder)
    return module.eval().to(target)


def check_facts(model: "Autoencoder", folder: Path) -> None:
    """Raises ValueError if config.json has other facts than the model that it describes."""
    saved, computed = config(folder).get("facts") or {}, facts(model)
    if different := [name for name in computed if name in saved and saved[name] != computed[name]]:
        name = different[0]
        raise ValueError(f"{folder / 'config.json'} is damaged: facts.{name} is {saved[name]!r:.60}, and the model has "
                         f"{computed[name]!r:.60}")


def nonfinite_weight(model: "Autoencoder") -> str | None:
    """The name of the first weight that holds NaN or infinity."""
    weights = model.state_dict().items()
    return next((name for name, value in weights if value.is_floating_point() and not value.isfinite().all()), None)


def settings_of(folder: Path) -> Any:
    """The settings of the model in a folder."""
    from ecgvae.models import parse_settings

    try:
        return parse_settings(config(folder)["model"])
    except ValueError as error:
        if str(error).startswith("model"):
            path = folder / "config.json"
            raise ValueError(f"{path} has settings that this version does not know: {error}") from None
        raise


def select_device(device: str) -> "torch.device":
    """The device of a name, where "auto" is a GPU if there is one; ValueError if torch cannot compute on it."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        x = torch.zeros(1, device=device)
        (x + 1).cpu()       # a device without values, such as meta, fails here
    except (RuntimeError, AssertionError, ImportError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"device {' '.join(str(device).split())[:60]}: {' '.join(str(error).split())[:120]}") from None
    return x.device


def identity(model: "str | Path | Autoencoder") -> str:
    """A short hash of the settings and weights of a model, which identifies the tokenizer of a token file.

    It is fixed when a model is saved, so that no later default or name changes it.

    Args:
        model: A model in memory, whose identity is computed from its settings and weights; or the name or folder of
            a saved one, whose identity is read.
    """
    from ecgvae.legacy import hash_weights

    if isinstance(model, str | Path):
        return saved_identity(model)
    settings = json.dumps(model.settings.model_dump(mode="json"), sort_keys=True)
    weights = sorted(model.state_dict().items())
    return hash_weights(settings, ((name, value.detach().cpu().numpy()) for name, value in weights))


def saved_identity(model: str | Path) -> str:
    """The identity in config.json, or for format 1 the one that its version computed."""
    from safetensors.numpy import load as from_bytes

    from ecgvae.legacy import format_1_identity

    folder = locate(model)
    values = config(folder)
    if values.get("identity"):
        return values["identity"]
    weights = from_bytes(read_weights(folder))
    return format_1_identity(settings_of(folder).model_dump(mode="json"), weights)


def earlier_identities(model: str | Path) -> list[str]:
    """Identities that earlier versions gave to these same weights; their token files decode with this model."""
    return list(config(model).get("earlier_identities", []))
