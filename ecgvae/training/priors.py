"""The training of a prior: codes or latents of windows of a store, or the codes of a token file, become more likely."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae import checkpoint
from ecgvae.codebooks import LatentSpec
from ecgvae.data.store import Store
from ecgvae.data.tokens import TokenFile
from ecgvae.data.training_data import measure_training_data
from ecgvae.models import Autoencoder, QuantizedAutoencoder
from ecgvae.priors import Prior, TokenPrior, build_prior
from ecgvae.training.optimizer import Muon
from ecgvae.training.precision import autocast
from ecgvae.training.prior_data import PriorBatches, StoreWindows, TokenWindows
from ecgvae.training.recipe import PriorRecipe
from ecgvae.training.run import check_windows
from ecgvae.training.state import State
from ecgvae.training.task import Task

FITTED_RECORDS = 1024       # whose latents a latent prior measures before its first step
VALIDATION_SEED = 0


@dataclass(frozen=True)
class PriorBatch:
    """Frames of codes (b, n, s) or latents (b, d, n), and the conditions."""

    frames: Tensor
    condition: Float[Tensor, "b k"] | None


class PriorTask(Task):
    """Trains a prior by its loss; the weights with the lowest validation loss are saved."""

    criterion = "loss"

    def __init__(self, recipe: PriorRecipe, data: Store | TokenFile, device: torch.device):
        self.recipe: PriorRecipe = recipe
        self.settings, self.data, self.device = recipe.training, data, device
        if recipe.training.init_from:
            raise ValueError(f"training.init_from is {recipe.training.init_from}; a prior starts with random weights")
        if recipe.training.frozen:
            raise ValueError(f"training.frozen is {', '.join(recipe.training.frozen)}; a prior is trained whole")
        self.autoencoder = checkpoint.load(recipe.autoencoder, str(device)).requires_grad_(False)
        identity = checkpoint.identity(recipe.autoencoder)
        if isinstance(data, Store):
            check_windows(self.settings, data, self.autoencoder.signal.rate, self.autoencoder.total_hop)
            check_stretched(recipe, data.rate, self.autoencoder.total_hop)
        else:
            check_tokens(data, recipe)
        self.fingerprint = f"{fingerprint(data)} {identity}"

    def init_state(self) -> State:
        settings = self.settings
        prior: Any = build_prior(self.recipe.prior, codes_or_latent(self.autoencoder, self.recipe.codebooks))
        prior = prior.to(self.device).train()
        if isinstance(self.autoencoder, QuantizedAutoencoder):
            prior.prepare(self.autoencoder.code_vectors()[:len(prior.layout.codebooks)])
        else:
            prior.prepare(self.windows(prior, "train").first(FITTED_RECORDS))
        average = copy.deepcopy(prior).eval().requires_grad_(False)
        optimizer = Muon(prior, settings.learning_rate, settings.betas, settings.momentum, settings.weight_decay)
        return State(prior, average, optimizer, self.fingerprint)

    def windows(self, prior: Prior, split: str) -> PriorBatches:
        """The training or validation windows."""
        if isinstance(self.data, Store):
            return StoreWindows(self.recipe, self.data, split, self.autoencoder, prior, self.device)
        assert isinstance(prior, TokenPrior)
        return TokenWindows(self.recipe, self.data, split, self.autoencoder.signal.rate, prior, self.device)

    def load(self, state: State, run: Path) -> None:
        prior: Any = state.model
        self.train_windows, self.validation_windows = self.windows(prior, "train"), self.windows(prior, "validation")

    def draw(self, generator: torch.Generator) -> PriorBatch:
        return PriorBatch(*self.train_windows.draw(self.settings.batch_size, generator))

    def loss(self, state: State, network: nn.Module, batch: PriorBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with autocast(self.settings.precision, batch.frames.device):
            return network(batch.frames, batch.condition), {}

    @torch.no_grad()
    def validate(self, average: nn.Module, step: int) -> tuple[dict[str, float], Path | None]:
        """The mean loss of the validation split and, for tokens, the bits per second that it means.

        The random numbers of a loss that draws some are the same at every validation.
        """
        total, weight = 0.0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(VALIDATION_SEED)
            for frames, condition in self.validation_windows.batches(self.settings.batch_size):
                total, weight = total + float(average(frames, condition)) * len(frames), weight + len(frames)
        if not weight:
            return {}, None
        values = {"loss": total / weight}
        if isinstance(average, TokenPrior):
            rate = self.autoencoder.signal.rate
            codes_per_second = sum(rate / spec.hop for spec in average.layout.codebooks)
            values["bits_per_second"] = values["loss"] / math.log(2) * codes_per_second
        return values, None

    def save(self, average: nn.Module, folder: Path, metrics: dict[str, float]) -> None:
        assert isinstance(average, Prior)
        facts = {"store": source_name(self.data), "fingerprint": fingerprint(self.data),
                 "records": len(self.train_windows), **self.recipe.model_dump(mode="json", exclude={"prior"})}
        data = None
        if isinstance(self.data, Store):
            data = measure_training_data(self.data, self.data.split("train"), self.autoencoder.signal)
        checkpoint.save_prior(average, folder, self.recipe.autoencoder, facts, metrics, data)


def codes_or_latent(autoencoder: Autoencoder, codebooks: int | None) -> Any:
    """The first codebooks of a tokenizer, or the latent of another autoencoder."""
    if not isinstance(autoencoder, QuantizedAutoencoder):
        if codebooks is not None:
            raise ValueError(f"codebooks is {codebooks}, but the autoencoder has none; wanted null")
        return LatentSpec(autoencoder.hop, autoencoder.settings.latent)
    specs = autoencoder.codebook_specs
    if codebooks is not None and codebooks > len(specs):
        raise ValueError(f"codebooks is {codebooks}; the autoencoder has {len(specs)}")
    return specs[:codebooks]


def check_stretched(recipe: PriorRecipe, rate: float, hop: int) -> None:
    """Raises ValueError if a window that is played faster may be shorter than a frame."""
    shortest = int(recipe.training.window * rate * (1 - recipe.augment.stretch))
    if shortest < hop:
        raise ValueError(f"training.window is {recipe.training.window:g} s, of which augment.stretch may leave "
                         f"{shortest} samples; wanted a frame of {hop} or more")


def check_tokens(file: TokenFile, recipe: PriorRecipe) -> None:
    """Raises ValueError if a prior can't be trained on a token file."""
    known = [checkpoint.identity(recipe.autoencoder), *checkpoint.earlier_identities(recipe.autoencoder)]
    if file.header.tokenizer not in known:
        raise ValueError(f"{file.path} has tokens of {file.header.model} ({file.header.tokenizer}); the recipe wants "
                         f"{recipe.autoencoder} ({known[0]})")
    if (recipe.codebooks or 0) > len(file.header.codebooks):
        raise ValueError(f"{file.path} has {len(file.header.codebooks)} codebooks; the recipe wants {recipe.codebooks}")
    if recipe.prior.condition:
        raise ValueError(f"{file.path} has no labels; wanted a store, or a prior without them (prior.condition=null)")
    if recipe.augment != type(recipe.augment)():
        raise ValueError(f"{file.path} has tokens, which can't be augmented; wanted a store, or augment={{}}")


def fingerprint(data: Store | TokenFile) -> str:
    """The fingerprint of a store, or a hash of the content of a token file."""
    import hashlib

    if isinstance(data, Store):
        return data.fingerprint
    with data.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def source_name(data: Store | TokenFile) -> str:
    return Path(data.manifest["source"]).name if isinstance(data, Store) else data.path.name
