"""Noise as augmentation: the recipe's block `noise`, and the noising of a batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from ecgvae.noise import (
    Corruption,
    NoiseRecordings,
    add_x0,
    alpha_bars,
    corruptions,
    q_sample,
    sample_timesteps,
    white_noise,
)
from ecgvae.settings import Settings

MAX_TIMESTEPS = 1_000_000
Signals: TypeAlias = Float[Tensor, "b c t"]
Decibels = Annotated[float, Field(ge=-200, le=200)]
Kind = Literal["wander", "muscle", "electrode", "mains-50", "mains-60", "drop-out"]


class NoiseSettings(Settings):
    """Noise of training signals. Some records stay clean; the others get diffusion noise or ECG artefacts.

    Attributes:
        clean: Share of the records that stay clean.
        target: What the model reconstructs: the clean signals, or the noised ones.
        schedule: Schedule of the diffusion noise, one of `ecgvae.noise.SCHEDULES`.
        steps: Number of timesteps of the diffusion noise.
        timestep_sampling: Distribution of the timesteps t, one of `ecgvae.noise.TIMESTEP_POWERS`.
        x0_weight: The w of x_t + w x_0 (see `ecgvae.noise.diffusion`).
        artefacts: Share of the noised records that get an artefact instead of diffusion noise.
        kinds: The artefacts, all equally likely.
        snr_db: Lowest and highest signal-to-noise ratio of artefacts in dB.
        recordings: Folder of recorded noise; the first half of each recording replaces synthetic noise.
    """

    former_names: ClassVar[dict[str, str]] = {"draw": "timestep_sampling", "w": "x0_weight", "snr": "snr_db"}

    clean: float = Field(0.5, ge=0, le=1)
    target: Literal["clean", "noised"] = "clean"
    schedule: Literal["linear", "cosine", "sigmoid"] = "cosine"
    steps: int = Field(1000, ge=1, le=MAX_TIMESTEPS)
    timestep_sampling: Literal["uniform", "low-noise"] = "uniform"
    x0_weight: float = Field(1.0, ge=0, le=1e9)
    artefacts: float = Field(0.0, ge=0, le=1)
    kinds: tuple[Kind, ...] = Field(("wander", "muscle", "electrode", "mains-50", "drop-out"), min_length=1)
    snr_db: tuple[Decibels, Decibels] = (0.0, 20.0)
    recordings: str | None = None

    @field_validator("snr_db")
    @classmethod
    def _is_ascending(cls, snr_db: tuple[float, float]) -> tuple[float, float]:
        if snr_db[0] > snr_db[1]:
            raise ValueError("wanted the lower SNR first")
        return snr_db


@dataclass(frozen=True)
class NoisePlan:
    """The treatment of each record of a batch. Records with the same treatment form a group."""

    counts: tuple[int, ...]     # records per group: clean, diffusion noise, then one group per artefact
    order: Tensor               # (b,) indices of the records, group by group
    alpha_bar: Tensor           # (b,) ᾱ_t in that order
    snr_db: Tensor              # (b,) in that order


class Noising:
    """Noises batches of signals without synchronizing the GPU with the CPU.

    The plan for a batch is drawn from a CPU generator and is the same on every device. The noise itself is drawn on
    the device, from a generator that the CPU generator seeds.

    Args:
        settings: Kinds, levels and shares of noise.
        rate: Sampling rate of the signals in Hz.
        device: Device of the signals.

    Raises:
        ValueError: The rate is too low for an artefact, or there are no recordings in the given folder.
    """

    def __init__(self, settings: NoiseSettings, rate: float, device: str | torch.device = "cpu"):
        self.settings = settings
        self.alpha_bars = alpha_bars(settings.schedule, settings.steps)
        self.generator = torch.Generator(device)
        kinds, folder = settings.kinds if settings.artefacts else (), settings.recordings
        recordings = NoiseRecordings(folder, rate, "first", device) if kinds and folder else None
        self.artefacts = [partial(self._corrupt, kind) for kind in corruptions(kinds, rate, recordings).values()]

    def __call__(self, x: Signals, generator: torch.Generator) -> tuple[Signals, Signals]:
        """The model's input and its target for signals x, with a CPU generator."""
        return self._apply(self._plan(len(x), generator), x)

    def pair(self, x: Signals, y: Float[Tensor, "b k t"], generator: torch.Generator
             ) -> tuple[tuple[Signals, Signals], tuple[Float[Tensor, "b k t"], Float[Tensor, "b k t"]]]:
        """Input and target for x and for y, with the same kinds and levels of noise but different noise samples."""
        plan = self._plan(len(x), generator)
        return self._apply(plan, x), self._apply(plan, y)

    def _plan(self, count: int, generator: torch.Generator) -> NoisePlan:
        """Draws the treatments of `count` records, and seeds the generator of the noise."""
        settings = self.settings

        def bernoulli(probability: float) -> Tensor:
            return torch.rand(count, generator=generator) < probability
        artefact = 2 + torch.randint(max(1, len(self.artefacts)), (count,), generator=generator)
        groups = torch.where(bernoulli(settings.artefacts), artefact, 1).masked_fill(bernoulli(settings.clean), 0)
        timesteps = sample_timesteps(settings.timestep_sampling, count, settings.steps, generator)
        alpha_bar = self.alpha_bars[timesteps]
        low, high = settings.snr_db
        snr_db = low + (high - low) * torch.rand(count, generator=generator)
        self.generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        order = groups.argsort(stable=True)
        counts = tuple(groups.bincount(minlength=2 + len(self.artefacts)).tolist())
        on_device = (values.to(self.generator.device, non_blocking=True) for values in (order, alpha_bar, snr_db))
        return NoisePlan(counts, *on_device)

    def _apply(self, plan: NoisePlan, x: Signals) -> tuple[Signals, Signals]:
        """Input and target for x. Every call draws new noise."""
        groups = zip(*(values.split(plan.counts) for values in (x[plan.order], plan.alpha_bar, plan.snr_db)),
                     strict=True)
        treatments: tuple[Callable[..., Signals], ...] = (self._keep_clean, self._diffuse, *self.artefacts)
        outputs = [treatment(*group) for treatment, group in zip(treatments, groups, strict=True) if len(group[0])]
        noised = torch.empty_like(x).index_copy_(0, plan.order, torch.cat(outputs))
        return noised, x if self.settings.target == "clean" else noised

    def _keep_clean(self, x: Signals, alpha_bar: Tensor, snr_db: Tensor) -> Signals:
        return x

    def _diffuse(self, x: Signals, alpha_bar: Tensor, snr_db: Tensor) -> Signals:
        x_t = q_sample(x, alpha_bar, white_noise(x, self.generator))
        return add_x0(x_t, x, self.settings.x0_weight, alpha_bar)

    def _corrupt(self, corruption: Corruption, x: Signals, alpha_bar: Tensor, snr_db: Tensor) -> Signals:
        return corruption(x, snr_db, self.generator)
