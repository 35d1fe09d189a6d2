"""A small convolutional network that is trained to classify ECGs, for the features of its last layer."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ecgvae.evaluation.generation.sets import EcgSet

WIDTHS = (32, 48, 64, 96, 128)      # channels after the stem and each block; each halves the rate
KERNEL = 7
STEM_KERNEL = 9
DROPOUT = 0.5                       # of features, before the head
EPOCHS = 15
BATCH = 32
LEARNING_RATE = 3e-3                # the largest of a cycle (Smith and Topin 2018)
WEIGHT_DECAY = 0.05
CROP = 0.8                          # share of an ECG that a training step sees
GAIN = 0.15                         # standard deviation of the logarithm of the random gain
LEAD_DROPOUT = 0.1                  # probability that a lead is 0 mV in training
EVALUATED_AT_ONCE = 64


class Block(nn.Module):
    """Two convolutions with a shortcut; the first halves the rate (He et al. 2016)."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(width_in, width, KERNEL, 2, KERNEL // 2, bias=False),
                                  nn.BatchNorm1d(width), nn.ReLU(),
                                  nn.Conv1d(width, width, KERNEL, 1, KERNEL // 2, bias=False), nn.BatchNorm1d(width))
        self.shortcut = nn.Sequential(nn.AvgPool1d(2, ceil_mode=True), nn.Conv1d(width_in, width, 1, bias=False),
                                      nn.BatchNorm1d(width))

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        return torch.relu(self.body(x) + self.shortcut(x))


class Classifier(nn.Module):
    """Logits of classes from ECGs of any length.

    Args:
        leads: Number of leads.
        classes: Number of classes.
    """

    def __init__(self, leads: int, classes: int):
        super().__init__()
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(leads, 1))     # standard deviations in mV
        self.stem = nn.Sequential(nn.Conv1d(leads, WIDTHS[0], STEM_KERNEL, 2, STEM_KERNEL // 2, bias=False),
                                  nn.BatchNorm1d(WIDTHS[0]), nn.ReLU())
        self.blocks = nn.Sequential(*map(Block, WIDTHS, WIDTHS[1:]))
        self.dropout = nn.Dropout(DROPOUT)
        self.head = nn.Linear(2 * WIDTHS[-1], classes)

    def pool(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d"]:
        """The mean and the largest value over time of the last block, for ECGs in mV."""
        frames = self.blocks(self.stem((x - x.mean(-1, keepdim=True)) / self.scale))
        return torch.cat([frames.mean(-1), frames.amax(-1)], dim=1)

    def forward(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b k"]:
        return self.head(self.dropout(self.pool(x)))

    @torch.inference_mode()
    def features(self, signals: Float[np.ndarray, "n c t"],
                 progress: Callable[[int], object] = lambda done: None) -> Float[np.ndarray, "n d"]:
        """The pooled features of signals in mV; `progress` is called with the number of signals done."""
        rows = []
        for start in range(0, len(signals), EVALUATED_AT_ONCE):
            rows.append(self.pool(torch.from_numpy(signals[start:start + EVALUATED_AT_ONCE])).numpy())
            progress(min(start + EVALUATED_AT_ONCE, len(signals)))
        return np.concatenate(rows)

    @torch.inference_mode()
    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """The logits of classes that go with pooled features."""
        return self.head(torch.from_numpy(features)).numpy()


def train_classifier(training: EcgSet, seed: int = 0, epochs: int = EPOCHS,
                     progress: Callable[[int, int], object] = lambda done, total: None) -> Classifier:
    """Trains a classifier on the ECGs of a set that have a class; the others are not used.

    Args:
        training: The ECGs.
        seed: Seed of the weights and of the order, crops, gains and left-out leads in training.
        epochs: Number of passes through the ECGs.
        progress: Called with the number of epochs done and their total.

    Raises:
        ValueError: The set has no labels, or fewer than two ECGs with a class.
    """
    if training.labels is None or (labelled := training.labels.any(axis=1)).sum() < 2:
        raise ValueError(f"{training.name} has no two ECGs with a class; wanted ECGs to train a classifier on")
    x, y = torch.from_numpy(training.signals[labelled]), torch.from_numpy(training.labels[labelled]).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(x.shape[1], y.shape[1])
        model.scale.copy_((x - x.mean(-1, keepdim=True)).std(dim=(0, 2)).clip(min=1e-6)[:, None])
        fit(model, x, y, epochs, torch.Generator().manual_seed(seed), progress)
    return model.eval()


def fit(model: Classifier, x: Tensor, y: Tensor, epochs: int, generator: torch.Generator,
        progress: Callable[[int, int], object]) -> None:
    """Trains a classifier on ECGs (n, c, t) with classes (n, k) by AdamW and one cycle of the learning rate."""
    size = min(BATCH, len(x))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, epochs * (len(x) // size))
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for rows in order[:len(x) // size * size].split(size):      # batch norm wants whole batches
            loss = binary_cross_entropy_with_logits(model(augment(x[rows], generator)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        progress(epoch + 1, epochs)


def augment(x: Float[Tensor, "b c t"], generator: torch.Generator) -> Float[Tensor, "b c n"]:
    """A random crop, of one place in all ECGs of a batch, with random gains and without some leads."""
    length = max(1, round(CROP * x.shape[-1]))
    start = int(torch.randint(x.shape[-1] - length + 1, (), generator=generator))
    gain = torch.exp(GAIN * torch.randn(len(x), 1, 1, generator=generator))
    kept = torch.rand(*x.shape[:2], 1, generator=generator) >= LEAD_DROPOUT
    return x[..., start:start + length] * gain * kept
