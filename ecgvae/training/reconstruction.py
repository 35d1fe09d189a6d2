"""The training of an autoencoder: it reconstructs windows of a store."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ecgvae import checkpoint
from ecgvae.data.store import Store
from ecgvae.data.training_data import measure_training_data
from ecgvae.models import Autoencoder, build
from ecgvae.nn.codebook import anneal_revival
from ecgvae.training.adversarial import Adversary
from ecgvae.training.batches import Batch, Batches
from ecgvae.training.objectives import STFT_SIZES, TERMS, error_percent, reconstruction_losses
from ecgvae.training.optimizer import Muon
from ecgvae.training.precision import autocast
from ecgvae.training.recipe import Recipe
from ecgvae.training.run import check_windows, differences
from ecgvae.training.state import State
from ecgvae.training.task import Task
from ecgvae.training.validation import Validation

MIN_WINDOW_SAMPLES = max(STFT_SIZES)


class ReconstructionTask(Task):
    """Trains an autoencoder by the losses of a recipe."""

    def __init__(self, recipe: Recipe, store: Store, device: torch.device):
        check_windows(recipe.training, store, recipe.model.signal.rate, MIN_WINDOW_SAMPLES)
        self.recipe: Recipe = recipe
        self.settings, self.fingerprint = recipe.training, store.fingerprint
        self.store, self.device = store, device

    def init_state(self) -> State:
        recipe, settings = self.recipe, self.settings
        model = build(recipe.model).to(self.device).train()
        if settings.init_from:
            model.load_state_dict(load_initial_model(settings.init_from, recipe).state_dict())
        freeze(model, settings.frozen)
        average = copy.deepcopy(model).eval().requires_grad_(False)
        optimizer = Muon(model, settings.learning_rate, settings.betas, settings.momentum, settings.weight_decay)
        adversary = Adversary(recipe.model.signal, recipe.adversarial, self.device) if recipe.adversarial else None
        return State(model, average, optimizer, self.fingerprint, adversary)

    def load(self, state: State, run: Path) -> None:
        model: Any = state.model
        self.batches = Batches(self.recipe, self.store, model, self.device)
        self.validation = Validation(self.store, self.recipe.model.signal, run)

    def draw(self, generator: torch.Generator) -> Batch:
        return self.batches.draw(generator)

    def loss(self, state: State, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        model: Any = state.model
        anneal_revival(model, state.step / self.settings.steps)
        with autocast(self.settings.precision, batch.input.device):
            result = network(batch.input, batch.target, batch.condition)
        weights = self.recipe.loss.at(state.step)
        target, reconstruction = model.all_leads(batch.target), model.all_leads(result.signal)
        losses = reconstruction_losses(target, reconstruction, weights, result.groups) | result.losses
        total = torch.as_tensor(sum(weights[name] * loss for name, loss in losses.items()))
        logged = {name: error_percent(loss) if name in TERMS else loss for name, loss in losses.items()}
        if state.adversary:
            with autocast(self.settings.precision, batch.input.device):
                loss, terms = state.adversary.generator_loss(state.step, batch.target, result.signal, total,
                                                             model.last_layer)
            total, logged = total + loss, logged | terms
        return total, {**logged, **result.stats}

    def validate(self, average: nn.Module, step: int) -> tuple[dict[str, float], Path | None]:
        assert isinstance(average, Autoencoder)
        return self.validation(average, step)

    def save(self, average: nn.Module, folder: Path, metrics: dict[str, float]) -> None:
        assert isinstance(average, Autoencoder)
        rows = self.store.split("train")
        facts = {"store": Path(self.store.manifest["source"]).name, "fingerprint": self.store.fingerprint,
                 "records": len(rows), **self.recipe.model_dump(mode="json", exclude={"model"})}
        data = measure_training_data(self.store, rows, self.recipe.model.signal)
        checkpoint.save(average, folder, facts, metrics, data)


def freeze(model: nn.Module, names: tuple[str, ...]) -> None:
    """Keeps the weights of parts of a model. ValueError if it has no part of such a name."""
    parts = dict(model.named_children())
    for name in names:
        if name not in parts:
            raise ValueError(f"training.frozen has {name}; wanted some of {', '.join(parts)}")
        parts[name].requires_grad_(False).eval()


def load_initial_model(name: str, recipe: Recipe) -> Autoencoder:
    """The trained model of `training.init_from`. ValueError if its settings differ from the recipe's."""
    try:
        model = checkpoint.load(name)
    except (ValueError, FileNotFoundError) as error:
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(f"training.init_from: {error}") from None
    for key, trained, given in differences(model.settings.model_dump(), recipe.model.model_dump(), "model"):
        raise ValueError(f"training.init_from: {name} has {key} {trained}, the recipe {given}; wanted the same")
    return model
