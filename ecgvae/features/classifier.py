"""A classifier of ECGs on a pretrained encoder, to train with torch: the head alone, or all of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ecgvae import checkpoint
from ecgvae.features.extractor import default_layers
from ecgvae.features.pooling import find_pooling
from ecgvae.models import Autoencoder


class Classifier(nn.Module):
    """Layers of an encoder, pooled over frames, standardized and mapped to logits.

    Example:
        >>> classifier = ecgvae.Classifier("ptbxl-vqvae-conv", classes=5)
        >>> loss = binary_cross_entropy_with_logits(classifier(x), y)   # x (b, 12, t) in mV at 100 Hz

    Args:
        model: The name of a shipped model, a model or run folder, or a model.
        classes: Number of logits.
        layers: Names of layers, see `Autoencoder.feature_maps`; by default the one in the middle of the encoder.
        pool: How frames are pooled: a name of `POOLINGS`.
        frozen: Whether the encoder stays as it is. `unfreeze` ends that.
        dropout: Share of the pooled features that are dropped in training.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: It has no such layer, there is no such pooling, or there are fewer than one class.
    """

    def __init__(self, model: str | Path | Autoencoder, classes: int, layers: Sequence[str] | None = None,
                 pool: str = "stats", frozen: bool = True, dropout: float = 0.0):
        super().__init__()
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
            raise ValueError(f"classes is {classes!r:.60}; wanted a whole number above 0")
        self.encoder = model if isinstance(model, Autoencoder) else checkpoint.load(model)
        self.layers = default_layers(self.encoder) if layers is None else tuple(layers)
        self.encoder.check_layers(self.layers)
        self.pooling = find_pooling(pool)
        width = sum(self.encoder.layers[name].width for name in self.layers) * len(self.pooling.names)
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(dropout), nn.Linear(width, classes))
        rows = [self.encoder.signal.leads.index(lead) for lead in self.encoder.signal.coded]
        self.register_buffer("coded_rows", torch.tensor(rows), persistent=False)
        self.frozen = frozen
        self.encoder.requires_grad_(not frozen)

    coded_rows: Tensor

    def unfreeze(self) -> "Classifier":
        """Lets the encoder be trained too."""
        self.frozen = False
        self.encoder.requires_grad_(True)
        return self

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode, in which a frozen encoder stays in evaluation mode."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def features(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b f"]:
        """The pooled features of ECGs; arguments as for `forward`."""
        maps = self.encoder.feature_maps(self.coded_leads(x), self.layers)
        return torch.cat([self.pooling.compute(maps[name].float()).flatten(1) for name in self.layers], 1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b k"]:
        """The logits of ECGs in mV at the encoder's rate: with all of its leads, or those it encodes, in its order."""
        return self.head(self.features(x))

    def coded_leads(self, x: Any) -> Float[Tensor, "b c t"]:
        """The leads that the encoder takes."""
        all_leads, coded = self.encoder.signal.leads, self.encoder.signal.coded
        if not isinstance(x, Tensor) or x.ndim != 3 or x.shape[1] not in (len(all_leads), len(coded)):
            got = f"of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"of type {type(x).__name__}"
            raise ValueError(f"ECGs {got}; wanted a tensor (batch, {len(all_leads)} or {len(coded)} leads, samples) in "
                             "mV")
        return x if x.shape[1] == len(coded) else x[:, self.coded_rows]
