"""What a prior is trained on: windows of a store that its autoencoder encodes, or windows of a token file."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.conditions import condition_vectors
from ecgvae.data.dataset import Windows
from ecgvae.data.splits import random_folds
from ecgvae.data.store import Store
from ecgvae.data.table import SPLITS
from ecgvae.data.tokens import TokenFile
from ecgvae.models import Autoencoder, QuantizedAutoencoder
from ecgvae.priors import Prior, TokenPrior
from ecgvae.training.augment import augment
from ecgvae.training.recipe import PriorRecipe

ENCODED_RECORDS = 16        # at a time
Frames = tuple[Tensor, Float[Tensor, "b k"] | None]     # frames of codes or latents, and conditions


class PriorBatches(ABC):
    """Frames of the records of a split."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of records."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Frames:
        """Random windows; those of a batch are equally long, those of two batches perhaps not."""

    @abstractmethod
    def batches(self, count: int) -> Iterator[Frames]:
        """The first window of every record, in batches."""

    def first(self, count: int) -> Tensor:
        """The frames of the first records."""
        parts, seen = [], 0
        for frames, _ in self.batches(ENCODED_RECORDS):
            parts.append(frames)
            seen += len(frames)
            if seen >= count:
                break
        return torch.cat(parts)


class StoreWindows(PriorBatches):
    """Augmented windows of a store, encoded by a frozen autoencoder: a record has different codes each time."""

    def __init__(self, recipe: PriorRecipe, store: Store, split: str, autoencoder: Autoencoder, prior: Prior,
                 device: torch.device):
        self.recipe, self.autoencoder, self.prior = recipe, autoencoder, prior
        rows, samples = store.split(split), round(recipe.training.window * store.rate)
        self.windows = Windows(store, rows, samples, autoencoder.signal.coded).to(device) if len(rows) else None
        condition = recipe.prior.condition
        self.vectors = condition_vectors(store, condition).to(device) if condition else None

    def __len__(self) -> int:
        return 0 if self.windows is None else len(self.windows)

    def draw(self, count: int, generator: torch.Generator) -> Frames:
        assert self.windows is not None
        x, rows = self.windows.batch(count, generator)
        x = augment(x, self.recipe.augment, generator, self.windows.coded, mirrored=False)
        whole = x.shape[-1] // self.autoencoder.total_hop * self.autoencoder.total_hop
        return self.encode(x[..., :whole]), self.conditions(rows)

    def batches(self, count: int) -> Iterator[Frames]:
        if self.windows is None:
            return
        starts = self.windows.ends - self.windows.lengths
        for some, rows in zip(starts.split(count), self.windows.rows.split(count), strict=True):
            yield self.encode(self.windows.crops(some)), self.conditions(rows)

    def conditions(self, rows: Tensor) -> Float[Tensor, "b k"] | None:
        return None if self.vectors is None else self.vectors[rows.to(self.vectors.device)]

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c t"]) -> Tensor:
        """Frames of codes (b, n, s) or latents (b, d, n)."""
        return torch.cat([self.encode_some(part) for part in x.split(ENCODED_RECORDS)])

    def encode_some(self, x: Float[Tensor, "b c t"]) -> Tensor:
        if isinstance(self.prior, TokenPrior):
            assert isinstance(self.autoencoder, QuantizedAutoencoder)
            layout = self.prior.layout
            return layout.pack([codes.long() for codes in self.autoencoder.tokenize(x, len(layout.codebooks))])
        return self.autoencoder.encode(x)


class TokenWindows(PriorBatches):
    """Windows of the records of a token file, which are split at random by their names.

    Records that are shorter than a window are left out.
    """

    def __init__(self, recipe: PriorRecipe, file: TokenFile, split: str, rate: float, prior: TokenPrior,
                 device: torch.device):
        layout, self.device = prior.layout, device
        self.length = max(1, round(recipe.training.window * rate) // layout.hop)
        tokens = list(file)
        folds = random_folds([item.name for item in tokens], fill=True)
        records = [layout.pack([torch.from_numpy(codes)[None] for codes in item.codes[:len(layout.codebooks)]])[0]
                   for item, fold in zip(tokens, folds, strict=True) if fold in SPLITS[split]]
        self.records = [record for record in records if len(record) >= self.length]
        if split == "train" and not self.records:
            raise ValueError(f"{file.path} has no training record of {recipe.training.window:g} s or more; wanted a "
                             "shorter training.window")

    def __len__(self) -> int:
        return len(self.records)

    def draw(self, count: int, generator: torch.Generator) -> Frames:
        weights = torch.tensor([len(record) for record in self.records], dtype=torch.double)
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator).tolist()
        starts = [int(torch.randint(len(self.records[index]) - self.length + 1, (1,), generator=generator))
                  for index in drawn]
        return torch.stack([self.records[index][start:start + self.length]
                            for index, start in zip(drawn, starts, strict=True)]).to(self.device), None

    def batches(self, count: int) -> Iterator[Frames]:
        for index in range(0, len(self.records), count):
            some = self.records[index:index + count]
            yield torch.stack([record[:self.length] for record in some]).to(self.device), None
