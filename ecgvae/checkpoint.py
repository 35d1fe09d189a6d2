"""Models on disk: a folder with config.json and model.safetensors, nothing that could run code."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FORMAT = 1
PRETRAINED = Path(__file__).parent / "pretrained"


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(model: str | Path) -> Path:
    """The folder of a model given by path or by shipped name; an existing path wins."""
    if Path(model).is_dir():
        return Path(model)
    if str(model) in pretrained():
        return PRETRAINED / str(model)
    raise FileNotFoundError(f"no model {model}; wanted a checkpoint folder or one of {', '.join(pretrained())}")


def save(model, folder: str | Path, training: dict | None = None, metrics: dict | None = None) -> Path:
    """Write a model; an older one in the folder is replaced whole or not at all, anything else is left alone."""
    import torch
    from safetensors.torch import save as to_bytes

    from ecgvae import __version__

    folder = Path(folder)
    if folder.exists() and not (folder / "config.json").is_file():
        raise FileExistsError(f"{folder} exists and is no model; wanted a new name")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    config = {
        "format": FORMAT,
        "model": model.settings.model_dump(mode="json"),
        "training": training or {},
        "metrics": metrics or {},
        "versions": {"ecgvae": __version__, "torch": torch.__version__.split("+")[0]},
    }
    (partial / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    (partial / "model.safetensors").write_bytes(to_bytes(weights))      # save_file keeps it from other users
    put(partial, folder)
    return folder


def put(partial: Path, folder: Path) -> None:
    """Rename a finished folder into place, with an older one put aside until it is there."""
    aside = folder.with_name(folder.name + ".replaced")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(partial, folder)
    except OSError:
        if aside.exists():
            os.replace(aside, folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def config(model: str | Path) -> dict:
    """The checked config.json of a model."""
    folder = locate(model)
    try:
        values = json.loads((folder / "config.json").read_text())
        version, _ = values["format"], values["model"]
    except FileNotFoundError:
        raise ValueError(f"{folder} is not an ecgvae model: it has no config.json") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(f"{folder / 'config.json'} is damaged; wanted JSON with format and model") from None
    if version != FORMAT:
        raise ValueError(f"{folder} has model format {version}; this version reads format {FORMAT}")
    return values


def load(model: str | Path, device: str = "cpu"):
    """The module of a shipped name or a folder, in evaluation mode on a device; every weight must be there and fit.

    Memory is taken for the weights in the file alone, whatever its config.json claims.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ecgvae.models import build, parse_settings

    folder = locate(model)
    path, values = folder / "model.safetensors", config(folder)["model"]
    try:
        settings = parse_settings(values)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} is no model this version knows: {error}") from None
    try:
        with torch.device("meta"):
            module = build(settings)
        types = {name: value.dtype for name, value in module.state_dict().items()}
        module.load_state_dict(load_file(path), assign=True)
    except FileNotFoundError:
        raise ValueError(f"{folder} has no model.safetensors") from None
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit its config.json: {' '.join(str(error).split())[:200]}") from None
    for name, value in module.state_dict().items():
        if value.dtype != types[name]:
            raise ValueError(f"{path} has {name} in {value.dtype}; wanted {types[name]}")
    return module.eval().to(select_device(device))


def select_device(device: str) -> "torch.device":
    """The device of a name; "auto" is a GPU where there is one. ValueError if torch can't use it."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device}: {str(error).splitlines()[0]}") from None


def identity(module) -> str:
    """A short hash of a model's settings and weights, by which tokens know their tokenizer."""
    settings = module.settings      # without defaults, so that a setting of a later version changes no hash
    digest = hashlib.sha256(f"{settings.family} {settings.model_dump_json(exclude_defaults=True)}".encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
