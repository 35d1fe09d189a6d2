"""The identity of a model, a hash of its settings and weights that its token files name."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvae.checkpoint.files import read_weights
from ecgvae.checkpoint.folders import config, locate
from ecgvae.checkpoint.loading import settings_of

if TYPE_CHECKING:
    from ecgvae.models import Autoencoder


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
