"""Model families, one a file; `FAMILIES` names them and `build` makes a model from its settings."""

import warnings
from typing import Any

from ecgvae.conditions import Conditioning, ConditionSettings
from ecgvae.models.autoencoder import Autoencoder, ModelSettings, QuantizedAutoencoder, Reconstruction
from ecgvae.models.cvae import CVAE, CVAESettings
from ecgvae.models.vae import AE, VAE, AESettings, VAESettings
from ecgvae.models.vqvae import VQVAE, VQVAESettings
from ecgvae.models.vqvae2 import VQVAE2, VQVAE2Settings
from ecgvae.settings import parse_block

FAMILIES: dict[str, tuple[type[ModelSettings], type[Autoencoder]]] = {
    "ae": (AESettings, AE),
    "vae": (VAESettings, VAE),
    "cvae": (CVAESettings, CVAE),
    "vqvae": (VQVAESettings, VQVAE),
    "vqvae2": (VQVAE2Settings, VQVAE2),
}
FORMER_NAMES = {"Given": Conditioning}


def parse_settings(values: Any) -> ModelSettings:
    """The settings of a model from a block of YAML or JSON, whose `family` decides their class.

    Args:
        values: A dict of settings; keys that are left out have their defaults.

    Raises:
        ValueError: The first setting that is wrong, in one line.
    """
    return parse_block(values, "model", "family", {name: settings for name, (settings, _) in FAMILIES.items()})


def build(settings: ModelSettings) -> Autoencoder:
    """An untrained model with these settings, its weights drawn from torch's global generator."""
    model: Any = FAMILIES[settings.family][1]
    return model(settings)


def __getattr__(name: str) -> Any:
    if name not in FORMER_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{name} is now called {FORMER_NAMES[name].__name__}", DeprecationWarning, stacklevel=2)
    return FORMER_NAMES[name]


__all__ = ["AE", "CVAE", "FAMILIES", "VAE", "VQVAE", "VQVAE2", "Autoencoder", "ConditionSettings", "Conditioning",
           "ModelSettings", "QuantizedAutoencoder", "Reconstruction", "build", "parse_settings"]
