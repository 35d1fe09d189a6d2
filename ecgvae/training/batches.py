"""Training batches: windows of a store, augmented and noised, with the condition of a conditional model."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.conditions import condition_vectors
from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.models import Autoencoder, Conditioning
from ecgvae.training.augment import augment
from ecgvae.training.noising import Noising
from ecgvae.training.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """A model's input, its target and its condition; signals in mV."""

    input: Float[Tensor, "b c t"]
    target: Float[Tensor, "b c t"]
    condition: Conditioning | None = None


class Batches:
    """Draws batches from the training split of a store, augmented and noised by the settings of a recipe."""

    def __init__(self, recipe: Recipe, store: Store, model: Autoencoder, device: torch.device):
        self.recipe, self.model = recipe, model
        samples = round(recipe.training.window * store.rate)
        self.windows = Windows(store, store.split("train"), samples, recipe.model.signal.coded).to(device)
        self.noising = Noising(recipe.noise, store.rate, device) if recipe.noise else None
        self.vectors = condition_vectors(store, model.condition).to(device) if model.condition else None

    def __len__(self) -> int:
        """The number of training records."""
        return len(self.windows)

    def draw(self, generator: torch.Generator) -> Batch:
        """Draws a batch with a CPU generator, the source of all random numbers."""
        x, rows = self.windows.batch(self.recipe.training.batch_size, generator)
        x = augment(x, self.recipe.augment, generator, self.windows.coded)
        given_leads = self.model.given_leads(x)
        if self.noising is None:
            noised = target = x
        elif given_leads is None:
            noised, target = self.noising(x, generator)
        else:
            (noised, target), (given_leads, _) = self.noising.pair(x, given_leads, generator)
        if self.vectors is None:
            return Batch(noised, target)
        return Batch(noised, target, Conditioning(self.vectors[rows.to(self.vectors.device)], given_leads))
