"""Model families, one a file; `FAMILIES` names them and `build` makes a model from its settings."""

import reprlib
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from ecgvae.models.autoencoder import Autoencoder, Quantizing, Reconstruction, Settings
from ecgvae.models.backbone import KINDS
from ecgvae.models.cvae import CVAE, CVAESettings, Given
from ecgvae.models.vae import AE, VAE, AESettings, VAESettings
from ecgvae.models.vqvae import VQVAE, VQVAESettings
from ecgvae.models.vqvae2 import VQVAE2, VQVAE2Settings
from ecgvae.nn.quantize import LEVELS

FAMILIES: dict[str, tuple[type[Settings], type[Autoencoder]]] = {
    "ae": (AESettings, AE),
    "vae": (VAESettings, VAE),
    "cvae": (CVAESettings, CVAE),
    "vqvae": (VQVAESettings, VQVAE),
    "vqvae2": (VQVAE2Settings, VQVAE2),
}


def settings_of(values: Any) -> Settings:
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
    keys = [key for before, key in pairwise(("", *first["loc"])) if before not in ("backbone", "quantizer")
            or key not in (*KINDS, *LEVELS)]
    place = ".".join(map(str, (*block, *keys)))     # which kind of them was tried is no key
    if first["type"] == "value_error" and message.startswith(place):     # it names the key by itself
        place = ""
    got = "" if isinstance(first["input"], dict) else f" (got {reprlib.repr(first['input'])})"
    return " ".join(f"{place}: {message}{got}".removeprefix(": ").split())


def build(settings: Settings) -> Autoencoder:
    return FAMILIES[settings.family][1](settings)


__all__ = ["AE", "CVAE", "FAMILIES", "VAE", "VQVAE", "VQVAE2", "Autoencoder", "Given", "Quantizing", "Reconstruction",
           "Settings", "build", "complaint", "settings_of"]
