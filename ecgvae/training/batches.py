"""What a model trains on: windows of a store, varied and noised, and what a conditional model is told of them."""

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
    """A model's input, what should come back, and its condition."""

    input: Float[Tensor, "b c t"]
    target: Float[Tensor, "b c t"]
    condition: Conditioning | None = None


class Batches:
    """Draws batches from the training split of a store, as a recipe wants them."""

    def __init__(self, recipe: Recipe, store: Store, model: Autoencoder, device: torch.device):
        self.recipe, self.model = recipe, model
        samples = round(recipe.training.window * store.rate)
        self.windows = Windows(store, store.split("train"), samples, recipe.model.signal.coded).to(device)
        self.noising = Noising(recipe.noise, store.rate, device) if recipe.noise else None
        self.vectors = condition_vectors(store, model.condition).to(device) if model.condition else None

    def __len__(self) -> int:
        return len(self.windows)

    def draw(self, generator: torch.Generator) -> Batch:
        """The next batch; every random number is from the (CPU) generator."""
        x, rows = self.windows.batch(self.recipe.training.batch_size, generator)
        x = augment(x, self.recipe.augment, generator)
        told = self.model.given_leads(x)
        if self.noising is None:
            noised = target = x
        elif told is None:
            noised, target = self.noising(x, generator)
        else:
            (noised, target), (told, _) = self.noising.pair(x, told, generator)
        if self.vectors is None:
            return Batch(noised, target)
        return Batch(noised, target, Conditioning(self.vectors[rows.to(self.vectors.device)], told))
