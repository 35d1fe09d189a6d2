"""Model families, one a file; `FAMILIES` names them and `build` makes a model from its settings."""

import reprlib

from pydantic import ValidationError

from ecgvae.models.autoencoder import Autoencoder, Reconstruction, Settings
from ecgvae.models.vqvae import VQVAE, VQVAESettings

FAMILIES: dict[str, tuple[type[Settings], type[Autoencoder]]] = {"vqvae": (VQVAESettings, VQVAE)}


def settings_of(values: dict) -> Settings:
    """Check the settings of a model, whose `family` says which they must be; ValueError names what is wrong."""
    if not isinstance(values, dict):
        raise ValueError(f"model is {reprlib.repr(values)}; it must be a block of settings")
    family = values.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ValueError(f"model.family is {reprlib.repr(family)}; it must be one of {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family][0].model_validate(values)
    except ValidationError as error:
        raise ValueError(complaint(error, "model")) from None


def complaint(error: ValidationError, *block: str) -> str:
    """The first thing wrong, in one line that begins with the key it is about."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    place = ".".join(str(part) for part in (*block, *first["loc"]))
    if first["type"] == "value_error" and message.startswith(place):     # it names the key by itself
        place = ""
    got = "" if isinstance(first["input"], dict) else f" (got {reprlib.repr(first['input'])})"
    return " ".join(f"{place}: {message}{got}".removeprefix(": ").split())


def build(settings: Settings) -> Autoencoder:
    return FAMILIES[settings.family][1](settings)


__all__ = ["FAMILIES", "Autoencoder", "Reconstruction", "Settings", "VQVAE", "VQVAESettings", "build", "complaint",
           "settings_of"]
