"""Priors on disk: a folder as that of a model, which also names or holds the autoencoder that the prior stands on."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgvae.checkpoint.checks import check_facts
from ecgvae.checkpoint.files import TRAINING_RECORDS
from ecgvae.checkpoint.folders import (
    AUTOENCODER,
    locate,
    locate_prior,
    model_name,
    pretrained,
    pretrained_priors,
    prior_config,
    shipped_root,
)
from ecgvae.checkpoint.identities import earlier_identities, hash_module, identity, saved_facts
from ecgvae.checkpoint.loading import load_module, select_device
from ecgvae.checkpoint.saving import write_checkpoint
from ecgvae.codebooks import CodebookSpec, LatentSpec

if TYPE_CHECKING:
    from ecgvae.data.training_data import TrainingData
    from ecgvae.priors import Prior, PriorSettings

PRIOR_FORMAT = 1
COPIED = ("config.json", "model.safetensors", TRAINING_RECORDS)     # files of an autoencoder


def default_prior() -> str:
    """The name of the shipped prior that is used where none is given: the first one.

    Raises:
        FileNotFoundError: No prior comes with the package.
    """
    names = pretrained_priors()
    if not names:
        raise FileNotFoundError("no prior comes with this version; wanted the folder of one")
    return names[0]


def save_prior(prior: "Prior", folder: str | Path, autoencoder: str | Path, training: dict | None = None,
               metrics: dict | None = None, data: "TrainingData | None" = None) -> Path:
    """Writes a prior to a folder; an older prior there is replaced completely or not at all.

    An autoencoder that does not come with the package is copied into the folder.

    Args:
        prior: The prior.
        folder: A new folder, or that of a prior to replace.
        autoencoder: The autoencoder that it stands on: the name of a shipped one, its folder or that of its run.
        training: Facts about its training, as JSON values.
        metrics: Facts about its quality, as JSON values.
        data: The amplitudes and fingerprints of the records that it was trained on.

    Raises:
        FileExistsError: The folder exists and holds no prior.
        ValueError: The prior does not fit the autoencoder, or a weight is not finite.
    """
    source = locate(autoencoder)
    check_fits(over(prior), source)
    settings, its_identity = prior.settings.model_dump(mode="json"), identity(source)
    values = {
        "format": PRIOR_FORMAT,
        "identity": hash_module({"prior": settings, "autoencoder": its_identity}, prior),
        "prior": settings,
        "autoencoder": {"name": model_name(source), "identity": its_identity, **over_values(over(prior))},
        "facts": prior_facts(prior),
        "training": training or {},
        "metrics": metrics or {},
    }

    def copy_autoencoder(partial: Path) -> None:
        (partial / AUTOENCODER).mkdir()
        for name in COPIED:
            if (source / name).is_file():
                shutil.copyfile(source / name, partial / AUTOENCODER / name)

    is_shipped = source.resolve().parent == shipped_root("model").resolve()
    return write_checkpoint(Path(folder), prior, values, data, None if is_shipped else copy_autoencoder)


def load_prior(prior: str | Path, device: str = "cpu") -> "Prior":
    """Loads a prior of any kind, in evaluation mode, in memory that is bounded by the file of weights.

    Args:
        prior: The name of a shipped prior, a checkpoint folder, or the folder of a training run.
        device: A device by torch's name, or "auto" for a GPU if there is one.

    Raises:
        FileNotFoundError: There is no such prior.
        ValueError: It is a model, or damaged; its weights do not fit its settings or are not finite; or torch cannot
            use the device.
    """
    from ecgvae.priors import build_prior

    folder = locate_prior(prior)
    settings, target = prior_settings(folder), select_device(device)
    values = prior_config(folder)
    try:
        module = load_module(folder, lambda: build_prior(settings, saved_over(values)))
    except ValueError as error:
        if str(folder) in str(error):
            raise
        raise ValueError(f"{folder / 'config.json'} is damaged: {error}") from None
    check_facts(prior_facts(module), values, folder)
    return module.eval().to(target)


def prior_settings(folder: Path) -> "PriorSettings":
    """The settings of the prior in a folder."""
    from ecgvae.priors import parse_prior_settings

    values = prior_config(folder)["prior"]
    try:
        return parse_prior_settings(values)
    except ValueError as error:
        path = folder / "config.json"
        raise ValueError(f"{path} has settings that this version does not know: {error}") from None


def prior_autoencoder(prior: str | Path, autoencoder: str | Path | None = None) -> Path:
    """The folder of the autoencoder of a prior: its copy in the prior's folder, or the shipped one.

    Args:
        prior: The name of a shipped prior, or its folder.
        autoencoder: Another place to take the autoencoder from, by name or folder.

    Raises:
        FileNotFoundError: There is no such autoencoder.
        ValueError: It is another one than the prior was trained on.
    """
    folder = locate_prior(prior)
    values = prior_config(folder)
    wanted, copy = values["autoencoder"], folder / AUTOENCODER
    if autoencoder is not None:
        source = locate(autoencoder)
    elif copy.is_dir():
        source = copy
    elif wanted["name"] in pretrained():
        source = shipped_root("model") / wanted["name"]
    else:
        raise FileNotFoundError(f"{folder} stands on the model {wanted['name']!r:.60}, which does not come with this "
                                "version; give its folder")
    if wanted["identity"] not in (own := identity(source), *earlier_identities(source)):
        raise ValueError(f"{folder} stands on the model {wanted['identity']} ({wanted['name']:.60}); {source} is {own}")
    check_fits(saved_over(values), source)
    return source


def prior_facts(prior: "Prior") -> dict[str, Any]:
    """Facts about a prior for its config.json, which can be read without loading it."""
    return {"parameters": sum(parameter.numel() for parameter in prior.parameters()), "hop": prior.hop}


def over(prior: "Prior") -> tuple[CodebookSpec, ...] | LatentSpec:
    """The codebooks or the latent that a prior is over."""
    from ecgvae.priors import LatentPrior, TokenPrior

    if isinstance(prior, TokenPrior):
        return prior.layout.codebooks
    if isinstance(prior, LatentPrior):
        return prior.latent
    raise ValueError(f"got {type(prior).__name__}; wanted a prior, as from build_prior")


def over_values(specs: tuple[CodebookSpec, ...] | LatentSpec) -> dict[str, Any]:
    """The codebooks or the latent of a prior as JSON values."""
    return {"latent": asdict(specs)} if isinstance(specs, LatentSpec) else {"codebooks": [*map(asdict, specs)]}


def saved_over(values: dict[str, Any]) -> tuple[CodebookSpec, ...] | LatentSpec:
    """The codebooks or the latent in the config.json of a prior."""
    autoencoder = values["autoencoder"]
    if latent := autoencoder.get("latent"):
        return LatentSpec(latent["hop"], latent["channels"])
    return tuple(CodebookSpec(spec["hop"], spec["size"]) for spec in autoencoder["codebooks"])


def check_fits(specs: tuple[CodebookSpec, ...] | LatentSpec, autoencoder: Path) -> None:
    """Raises ValueError unless codebooks are the first ones of an autoencoder, or a latent is its."""
    facts = saved_facts(autoencoder)
    if isinstance(specs, LatentSpec):
        available: Any = LatentSpec(facts["hop"], facts["latent"])
        if specs != available:
            raise ValueError(f"the prior is over {specs}; {autoencoder} has {available}")
        return
    available = tuple(CodebookSpec(spec["hop"], spec["size"]) for spec in facts["codebooks"])
    if specs != available[:len(specs)]:
        raise ValueError(f"the prior is over {describe_specs(specs)}; {autoencoder} has {describe_specs(available)}")


def describe_specs(specs: tuple[CodebookSpec, ...]) -> str:
    """Codebooks in words, for messages."""
    sizes = ", ".join(f"{spec.size} codes at hop {spec.hop}" for spec in specs)
    return f"codebooks of {sizes:.200}" if specs else "no codebooks"
