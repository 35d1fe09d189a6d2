"""Model families, one a file; `FAMILIES` names them and `build` makes a model from its settings."""

from ecgvae.models.autoencoder import Autoencoder, Reconstruction, Settings
from ecgvae.models.vqvae import VQVAE, VQVAESettings

FAMILIES: dict[str, tuple[type[Settings], type[Autoencoder]]] = {"vqvae": (VQVAESettings, VQVAE)}


def settings_of(values: dict) -> Settings:
    """Check the settings of a model, whose `family` says which they must be; ValueError names what is wrong."""
    family = values.get("family")
    if family not in FAMILIES:
        raise ValueError(f"model.family is {family!r}; it must be one of {', '.join(FAMILIES)}")
    return FAMILIES[family][0].model_validate(values)


def build(settings: Settings) -> Autoencoder:
    return FAMILIES[settings.family][1](settings)


__all__ = ["FAMILIES", "Autoencoder", "Reconstruction", "Settings", "VQVAE", "VQVAESettings", "build", "settings_of"]
