"""Models on disk: a folder with config.json and model.safetensors, nothing that could run code."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from pydantic import ValidationError

FORMAT = 1
PRETRAINED = Path(__file__).parent / "pretrained"


def pretrained() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(folder.name for folder in PRETRAINED.iterdir() if (folder / "config.json").is_file())


def locate(model: str | Path) -> Path:
    """The folder of a model given by path or by shipped name; an existing path wins."""
    if Path(model).is_dir():
        return Path(model)
    if str(model) in pretrained():
        return PRETRAINED / str(model)
    raise FileNotFoundError(f"no model {model}; wanted a checkpoint folder or one of {', '.join(pretrained())}")


def save(model, folder: str | Path, training: dict | None = None, metrics: dict | None = None) -> Path:
    """Write a model; an older one in the folder is replaced whole or not at all."""
    import torch
    from safetensors.torch import save_file

    from ecgvae import __version__

    folder = Path(folder)
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
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, partial / "model.safetensors")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)
    return folder


def config(model: str | Path) -> dict:
    """The checked config.json of a model."""
    folder = locate(model)
    try:
        values = json.loads((folder / "config.json").read_text())
        version, _ = values["format"], values["model"]
    except FileNotFoundError:
        raise ValueError(f"{folder} is not an ecgvae model: it has no config.json") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{folder / 'config.json'} is damaged; wanted JSON with format and model") from None
    if version != FORMAT:
        raise ValueError(f"{folder} has model format {version}; this version reads format {FORMAT}")
    return values


def load(model: str | Path):
    """The module of a shipped name or a folder, in evaluation mode on the CPU; every weight must be there and fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from ecgvae.models import build, settings_of

    folder = locate(model)
    try:
        module = build(settings_of(config(folder)["model"]))
        module.load_state_dict(load_file(folder / "model.safetensors"))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no model.safetensors") from None
    except ValidationError as error:
        raise ValueError(f"{folder / 'config.json'} is no model this version knows: {error.errors()[0]['msg']}") from None
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{folder / 'model.safetensors'} does not fit its config.json: {reason}") from None
    return module.eval()


def identity(module) -> str:
    """A short hash of a model's settings and weights, by which tokens know their tokenizer."""
    digest = hashlib.sha256(module.settings.model_dump_json().encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
