"""Features of random dilated convolutions: no training, and a linear classifier on them is hard to beat for ECG.

The kernels are those of MiniRocket (Dempster et al. 2021): 84 kernels of nine weights, which are 2 at three places and
-1 at the others, at dilations on an exponential scale. Each reads a random subset of the leads. A feature is the share
of values above a threshold, which is a quantile of the kernel's outputs, or the largest value (ROCKET, Dempster et al.
2020).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv1d

KERNEL = 9              # weights of a kernel
N_KERNELS = 84          # all kernels with three large weights
MAX_DILATIONS = 12
THRESHOLDS = 5          # of each kernel at each dilation
FITTED_RECORDS = 128    # from which thresholds are taken
QUANTILE_VALUES = 4096  # of each kernel's outputs, from which thresholds are taken
BATCH = 8               # records at a time, which fit the cache
GOLDEN_RATIO = (math.sqrt(5) + 1) / 2


@dataclass(frozen=True, eq=False)
class Layer:
    """The kernels of one dilation: their weights (kernels, c, 9), and thresholds (thresholds, kernels)."""

    dilation: int
    weights: Tensor
    thresholds: Tensor

    @property
    def width(self) -> int:
        """Number of features."""
        return self.thresholds.numel() + len(self.weights)

    def convolve(self, x: Tensor) -> Tensor:
        """Outputs (b, kernels, t) of signals (b, c, t), which are continued with zeros."""
        return conv1d(x, self.weights, dilation=self.dilation, padding=KERNEL // 2 * self.dilation)

    def features(self, x: Tensor) -> Tensor:
        """Shares above each threshold and largest values: (b, c, t) to (b, width)."""
        outputs = self.convolve(x)
        above = torch.empty_like(outputs)       # floats, since a sum of Booleans takes five times as long
        shares = [torch.gt(outputs, threshold[:, None], out=above).mean(-1) for threshold in self.thresholds]
        return torch.cat([*shares, outputs.amax(-1)], dim=1)


@dataclass(frozen=True, eq=False)
class RandomNetwork:
    """Random convolutions of all leads (c, t); leads are scaled by their standard deviations (c, 1) in mV."""

    scale: Tensor
    layers: tuple[Layer, ...]

    @classmethod
    def fit(cls, signals: Float[np.ndarray, "n c t"], seed: int = 0) -> "RandomNetwork":
        """Draws the kernels for signals in mV, and takes scales and thresholds from them.

        Raises:
            ValueError: The signals are too short for a kernel.
        """
        leads, samples = signals.shape[1:]
        if samples < KERNEL:
            raise ValueError(f"signals of {samples} samples; wanted {KERNEL} or more")
        generator = torch.Generator().manual_seed(seed)
        scale = torch.from_numpy(centred(signals).std(axis=(0, 2))).clip(min=1e-6)[:, None]
        rows = torch.randperm(len(signals), generator=generator)[:FITTED_RECORDS].numpy()
        x = torch.from_numpy(centred(signals[rows])) / scale
        longest = math.log2((samples - 1) / (KERNEL - 1))
        dilations = sorted({int(2**power) for power in np.linspace(0, longest, MAX_DILATIONS)})
        return cls(scale, tuple(draw_layer(x, dilation, generator) for dilation in dilations))

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(layer.width for layer in self.layers)

    @torch.inference_mode()
    def features(self, signals: Float[np.ndarray, "n c t"],
                 progress: Callable[[int], object] = lambda done: None) -> Float[np.ndarray, "n d"]:
        """The features of signals in mV; `progress` is called with the number of signals done."""
        rows = []
        for start in range(0, len(signals), BATCH):
            x = torch.from_numpy(centred(signals[start:start + BATCH])) / self.scale
            rows.append(torch.cat([layer.features(x) for layer in self.layers], dim=1).numpy())
            progress(min(start + BATCH, len(signals)))
        return np.concatenate(rows)


def centred(signals: np.ndarray) -> np.ndarray:
    """Signals (n, c, t) without their means over time."""
    return signals - signals.mean(axis=-1, keepdims=True)


@torch.inference_mode()
def draw_layer(x: Tensor, dilation: int, generator: torch.Generator) -> Layer:
    """Kernels of a dilation on random leads, with thresholds at evenly spread quantiles of their outputs for x."""
    weights = draw_leads(x.shape[1], generator)[:, :, None] * kernels()[:, None]
    outputs = Layer(dilation, weights, torch.empty(0)).convolve(x).transpose(0, 1).flatten(1)
    drawn = torch.randint(outputs.shape[1], (QUANTILE_VALUES,), generator=generator)
    values = outputs[:, drawn].sort(dim=1).values
    quantiles = (torch.arange(THRESHOLDS)[:, None] / GOLDEN_RATIO + torch.rand(N_KERNELS, generator=generator)) % 1
    thresholds = values.gather(1, (quantiles.T * QUANTILE_VALUES).long()).T.contiguous()
    return Layer(dilation, weights, thresholds)


def draw_leads(leads: int, generator: torch.Generator) -> Tensor:
    """For each kernel a random subset of leads, as 0 or 1 (kernels, leads); small subsets are more frequent."""
    powers = torch.rand(N_KERNELS, generator=generator) * math.log2(min(leads, KERNEL) + 1)
    chosen = torch.zeros(N_KERNELS, leads)
    for kernel, power in enumerate(powers.tolist()):
        chosen[kernel, torch.randperm(leads, generator=generator)[:int(2**power)]] = 1
    return chosen


def kernels() -> Tensor:
    """All kernels (84, 9) with the weight 2 at three places and -1 at the others."""
    weights = torch.full((N_KERNELS, KERNEL), -1.0)
    for row, places in zip(weights, combinations(range(KERNEL), 3), strict=True):
        row[list(places)] = 2.0
    return weights
