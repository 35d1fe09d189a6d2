"""Priors over the codes or the latent of an autoencoder, one kind a file; `build_prior` makes one from its settings."""

from typing import Any

from ecgvae.codebooks import CodebookSpec, LatentSpec
from ecgvae.priors.autoregressive import AutoregressivePrior, AutoregressiveSettings, PixelCNNSettings
from ecgvae.priors.frames import ABSENT, FrameLayout
from ecgvae.priors.latent import LatentDiffusionPrior, LatentSettings
from ecgvae.priors.masked import MaskedPrior, MaskedSettings
from ecgvae.priors.prior import LatentPrior, Prior, PriorSettings, TokenPrior
from ecgvae.priors.sampling import SamplingSettings
from ecgvae.settings import parse_block

KINDS: dict[str, tuple[type[PriorSettings], Any]] = {
    "autoregressive": (AutoregressiveSettings, AutoregressivePrior),
    "pixelcnn": (PixelCNNSettings, AutoregressivePrior),
    "masked": (MaskedSettings, MaskedPrior),
    "latent": (LatentSettings, LatentDiffusionPrior),
}


def parse_prior_settings(values: Any) -> PriorSettings:
    """The settings of a prior from a block of YAML or JSON, whose `kind` decides their class.

    Raises:
        ValueError: The first setting that is wrong, in one line.
    """
    return parse_block(values, "prior", "kind", {name: settings for name, (settings, _) in KINDS.items()})


def build_prior(settings: PriorSettings, over: tuple[CodebookSpec, ...] | LatentSpec) -> Prior:
    """An untrained prior over codebooks or a latent, its weights drawn from torch's global generator.

    Raises:
        ValueError: This kind of prior wants the other.
    """
    prior = KINDS[settings.kind][1]
    if issubclass(prior, TokenPrior) and not isinstance(over, tuple):
        raise ValueError(f"a prior of kind {settings.kind} over a continuous latent; wanted a tokenizer's codebooks")
    if issubclass(prior, LatentPrior) and not isinstance(over, LatentSpec):
        raise ValueError(f"a prior of kind {settings.kind} over codebooks; wanted a continuous latent")
    return prior(settings, over)


__all__ = ["ABSENT", "KINDS", "FrameLayout", "LatentPrior", "Prior", "PriorSettings", "SamplingSettings", "TokenPrior",
           "build_prior", "parse_prior_settings"]
