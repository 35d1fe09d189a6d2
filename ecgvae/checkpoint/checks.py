"""Facts about a model for its config.json, and checks of a model against them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.files import config_kind

if TYPE_CHECKING:
    from torch import nn

    from ecgvae.models import Autoencoder


def facts(model: "Autoencoder") -> dict[str, Any]:
    """Facts about a model for its config.json, which can be read without loading the model."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters()), "hop": model.hop,
            "latent": model.settings.latent, "codebooks": [asdict(spec) for spec in model.codebook_specs]}


def check_facts(computed: dict[str, Any], values: dict[str, Any], folder: Path) -> None:
    """Raises ValueError if the values of config.json have other facts than the module that they describe."""
    saved = values.get("facts") or {}
    if different := [name for name in computed if name in saved and saved[name] != computed[name]]:
        name = different[0]
        raise ValueError(f"{folder / 'config.json'} is damaged: facts.{name} is {saved[name]!r:.60}, and the "
                         f"{config_kind(values)} has {computed[name]!r:.60}")


def nonfinite_weight(module: "nn.Module") -> str | None:
    """The name of the first weight that holds NaN or infinity."""
    weights = module.state_dict().items()
    return next((name for name, value in weights if value.is_floating_point() and not value.isfinite().all()), None)
