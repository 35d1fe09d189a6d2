"""Model families, one a file; `FAMILIES` names them and `build` makes a model from its settings."""

import reprlib
from typing import Any

from pydantic import ValidationError

from ecgvae.models.autoencoder import Autoencoder, QuantizedAutoencoder, Reconstruction, Settings
from ecgvae.models.cvae import CVAE, Conditioning, CVAESettings
from ecgvae.models.vae import AE, VAE, AESettings, VAESettings
from ecgvae.models.vqvae import VQVAE, VQVAESettings
from ecgvae.models.vqvae2 import VQVAE2, VQVAE2Settings
from ecgvae.settings import describe_error

FAMILIES: dict[str, tuple[type[Settings], type[Autoencoder]]] = {
    "ae": (AESettings, AE),
    "vae": (VAESettings, VAE),
    "cvae": (CVAESettings, CVAE),
    "vqvae": (VQVAESettings, VQVAE),
    "vqvae2": (VQVAE2Settings, VQVAE2),
}


def parse_settings(values: Any) -> Settings:
    """Check the settings of a model, whose `family` says which they must be; ValueError names what is wrong."""
    if not isinstance(values, dict):
        raise ValueError(f"model is {reprlib.repr(values)}; it must be a block of settings")
    family = values.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"model.family is {reprlib.repr(family)}; it must be one of {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family][0].model_validate(values)
    except ValidationError as error:
        raise ValueError(describe_error(error, "model")) from None


def build(settings: Settings) -> Autoencoder:
    return FAMILIES[settings.family][1](settings)


__all__ = ["AE", "CVAE", "FAMILIES", "VAE", "VQVAE", "VQVAE2", "Autoencoder", "Conditioning", "QuantizedAutoencoder", "Reconstruction",
           "Settings", "build", "parse_settings"]
