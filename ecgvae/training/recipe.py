"""Recipes: all settings of a training, read from YAML and checked before the training starts."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, ValidationError, field_validator

from ecgvae.files import parse_yaml, read_yaml
from ecgvae.models import ModelSettings, parse_settings
from ecgvae.priors import PriorSettings, parse_prior_settings
from ecgvae.settings import Settings, describe_error
from ecgvae.training.adversarial import AdversarialSettings
from ecgvae.training.folder import MAX_STEPS
from ecgvae.training.noising import NoiseSettings
from ecgvae.wording import one_line

MAX_BATCH_SIZE = 1 << 20
MAX_WINDOW_SECONDS = 86_400
MAX_SHOWN_CHARACTERS = 200      # of a --set in an error message
Weight = Annotated[float, Field(ge=0, le=1e9)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class LossWeights(Settings):
    """Weight of every loss term. A weight of 0 switches its term off.

    Attributes:
        prdn: PRDN of the reconstruction (see `ecgvae.training.objectives`).
        derivative: Relative error of first differences.
        spectral: Relative error of short-time magnitudes.
        commitment: Commitment loss of a learned codebook.
        codebook: Codebook loss, for codebooks that are trained by gradient.
        usage_loss: Loss that makes a scalar quantizer use all points of its grid equally often.
        nll: Negative log-likelihood of a VAE.
        kl: Kullback-Leibler divergence of a VAE (the beta of a beta-VAE).
        kl_warmup: Steps over which the weight `kl` rises from 0.
    """

    former_names: ClassVar[dict[str, str]] = {"evenness": "usage_loss"}

    prdn: Weight = 1.0
    derivative: Weight = 0.0
    spectral: Weight = 0.0
    commitment: Weight = 0.25
    codebook: Weight = 1.0
    usage_loss: Weight = 1.0
    nll: Weight = 1.0
    kl: Weight = 1.0
    kl_warmup: int = Field(0, ge=0)

    def at(self, step: int) -> dict[str, float]:
        """The weight of every term at a step."""
        weights = self.model_dump(exclude={"kl_warmup"})
        return weights | {"kl": self.kl * min(1.0, step / max(1, self.kl_warmup))}


class AugmentSettings(Settings):
    """Augmentation of training signals (see `ecgvae.training.augment`).

    Attributes:
        gain: Standard deviation of the logarithm of a record's gain.
        mixing: Standard deviation of the weights with which leads are added to each other.
        stretch: Largest relative change of the time axis, which is drawn once per batch.
        rotation: Standard deviation in degrees of a rotation of the heart's electrical axis, for 12-lead ECG.
    """

    gain: float = Field(0.0, ge=0, le=10)
    mixing: float = Field(0.0, ge=0, le=10)
    stretch: float = Field(0.0, ge=0, le=0.4)
    rotation: float = Field(0.0, ge=0, le=180)


class TrainingSettings(Settings):
    """Length of a training, its optimizer (Muon with warm-up and cosine decay), and intervals of logs and validations.

    Attributes:
        steps: Number of optimizer steps.
        batch_size: Number of windows in a batch, per device.
        window: Length of a window in seconds.
        learning_rate: Highest learning rate.
        warmup: Steps over which the learning rate rises from 0.
        betas: Decay rates of Adam, for biases and gains.
        momentum: Momentum of Muon, for all other weights.
        weight_decay: Weight decay of Muon.
        max_grad_norm: Gradients are clipped to this norm.
        ema_decay: Decay of the exponential moving average of the weights. The average is validated and saved.
        init_from: A trained model (a shipped name or a folder) that provides the initial weights.
        frozen: Parts of the model by name that keep their weights, such as encoder and quantizer.
        precision: "bf16" for matrix products in bfloat16; "auto" for bf16 on a GPU that supports it, else fp32.
        compile: Whether to use torch.compile.
        patience: Number of validations without a lower value, after which the training of a prior ends; the weights
            with the lowest are saved. None trains to the last step.
        seed: Seed of all random numbers.
        log_every: Steps between rows of log.csv.
        validate_every: Steps between validations.
        save_every: Steps between saved states.
    """

    former_names: ClassVar[dict[str, str]] = {"clip": "max_grad_norm", "average": "ema_decay",
                                              "start_from": "init_from"}

    steps: int = Field(10_000, ge=1, le=MAX_STEPS)
    batch_size: int = Field(32, ge=1, le=MAX_BATCH_SIZE)
    window: float = Field(10.0, gt=0, le=MAX_WINDOW_SECONDS)
    learning_rate: float = Field(4e-3, gt=0, le=1e3)
    warmup: int = Field(200, ge=0)
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    momentum: Decay = 0.95
    weight_decay: float = Field(1e-4, ge=0, le=1e3)
    max_grad_norm: float = Field(1.0, gt=0, le=1e30)
    ema_decay: Decay = 0.99
    init_from: str | None = None
    frozen: tuple[str, ...] = ()
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    compile: bool = False
    patience: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=-(1 << 63), lt=1 << 63)
    log_every: int = Field(50, ge=1)
    validate_every: int = Field(1000, ge=1)
    save_every: int = Field(500, ge=1)


class Recipe(Settings):
    """All settings of the training of an autoencoder: the model, its losses, its data and its optimizer."""

    model: SerializeAsAny[ModelSettings]
    loss: LossWeights = LossWeights()
    augment: AugmentSettings = AugmentSettings()
    noise: NoiseSettings | None = None
    adversarial: AdversarialSettings | None = None
    training: TrainingSettings = TrainingSettings()

    @field_validator("model", mode="before")
    @classmethod
    def _parse_model(cls, value: Any) -> Any:
        return parse_settings(value) if isinstance(value, dict) else value


class PriorRecipe(Settings):
    """All settings of the training of a prior.

    Attributes:
        prior: The prior.
        autoencoder: The trained model over whose tokens or latent the prior is: a shipped name or a folder.
        codebooks: The number of its first codebooks that are used; None for all.
        augment: Augmentation of the signals before they are encoded, if the data is a store.
        training: Length and optimizer.
    """

    prior: SerializeAsAny[PriorSettings]
    autoencoder: str
    codebooks: int | None = Field(None, ge=1)
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()

    @field_validator("prior", mode="before")
    @classmethod
    def _parse_prior(cls, value: Any) -> Any:
        return parse_prior_settings(value) if isinstance(value, dict) else value


AnyRecipe = Recipe | PriorRecipe


def read_recipe(path: str | Path, overrides: tuple[str, ...] = ()) -> AnyRecipe:
    """Reads a recipe from a YAML file.

    Args:
        path: The file.
        overrides: Values that replace those of the file, each as `key.path=value` with the value in YAML.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a recipe, or a value is wrong. The message is one line with the file and the key.

    Example:
        >>> recipe = read_recipe("recipes/ptbxl/vqvae.yaml", ("training.steps=100", "model.backbone=conv-tiny"))
    """
    values = read_yaml(path, "the YAML file of a recipe")
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds {type(values).__name__}; wanted blocks: model or prior, training, ...")
    for override in overrides:
        apply_override(values, override)
    return parse_recipe(values, path)


def parse_recipe(values: dict, path: str | Path) -> AnyRecipe:
    """Makes a recipe from its blocks; ValueError with the path and the key if a value is wrong."""
    try:
        return (PriorRecipe if "prior" in values else Recipe).model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{path}: {describe_error(error)}") from None


def apply_override(values: dict, override: str) -> None:
    """Sets one `key.path=value` in nested blocks, and removes the same key under its other names."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    shown = one_line(override, MAX_SHOWN_CHARACTERS)
    if not equals or not all(path):
        raise ValueError(f"--set {shown}; wanted key.path=value")
    for block in path[:-1]:
        values = values.setdefault(block, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {shown}; {block} is a value, not a block")
    try:
        value = parse_yaml(text)
    except ValueError:
        raise ValueError(f"--set {shown}; the value is not YAML") from None
    for name in _other_names(path[-1]):
        values.pop(name, None)
    values[path[-1]] = value


def _other_names(key: str, settings: type[Settings] = Settings) -> set[str]:
    """The other names of a key, former or present, in any block of settings."""
    names = {name for pair in settings.former_names.items() if key in pair for name in pair}
    return names.union(*(_other_names(key, block) for block in settings.__subclasses__())) - {key}

