"""The identity of a model, a hash of its settings and weights that its token files name."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.checks import facts
from ecgvae.checkpoint.files import read_weights
from ecgvae.checkpoint.folders import config, locate
from ecgvae.checkpoint.loading import load, settings_of

if TYPE_CHECKING:
    from torch import nn

    from ecgvae.models import Autoencoder


def saved_facts(model: str | Path) -> dict[str, Any]:
    """The facts in the config.json of a model; one of an earlier version, which has none, is loaded."""
    values = config(model)
    return values["facts"] if values.get("facts") and values.get("identity") else facts(load(model))


def identity(model: "str | Path | Autoencoder") -> str:
    """A short hash of the settings and weights of a model, which identifies the tokenizer of a token file.

    It is fixed when a model is saved, so that no later default or name changes it.

    Args:
        model: A model in memory, whose identity is computed from its settings and weights; or the name or folder of
            a saved one, whose identity is read.
    """
    if isinstance(model, str | Path):
        return saved_identity(model)
    return hash_module(model.settings.model_dump(mode="json"), model)


def hash_module(values: dict[str, Any], module: "nn.Module") -> str:
    """A short hash of JSON values and the weights of a module."""
    from ecgvae.legacy import hash_weights

    weights = sorted(module.state_dict().items())
    return hash_weights(json.dumps(values, sort_keys=True),
                        ((name, value.detach().cpu().numpy()) for name, value in weights))


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
