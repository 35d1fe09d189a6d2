"""Noise as augmentation: what the recipe's `noise` block does to a batch."""

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from ecgvae.noise import Corruption, Recordings, alpha_bars, corruptions, draw_steps, mix, q_sample, white

Signals = Float[Tensor, "b c t"]
Kind = Literal["wander", "muscle", "electrode", "mains-50", "mains-60", "drop-out"]


class Noise(BaseModel):
    """How training signals are noised: a share stays clean, the rest gets diffusion noise or noise as ECG has it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clean: float = Field(0.5, ge=0, le=1)       # share of the records that stay exactly as they are
    target: Literal["clean", "noised"] = "clean"
    schedule: Literal["linear", "cosine", "sigmoid"] = "cosine"
    steps: int = Field(1000, ge=1)
    draw: Literal["uniform", "low-noise"] = "uniform"
    w: float = Field(1.0, ge=0)                 # of x_0 in x_t + w x_0
    artefacts: float = Field(0.0, ge=0, le=1)   # share of the noised records with artefacts instead
    kinds: tuple[Kind, ...] = Field(("wander", "muscle", "electrode", "mains-50", "drop-out"), min_length=1)
    snr: tuple[float, float] = (0.0, 20.0)      # dB of artefacts, from and to
    recordings: str | None = None               # a folder whose first halves replace synthetic artefacts

    @field_validator("snr")
    @classmethod
    def ascending(cls, snr: tuple[float, float]) -> tuple[float, float]:
        if snr[0] > snr[1]:
            raise ValueError("wanted the lower SNR first")
        return snr


@dataclass(frozen=True)
class Plan:
    """What becomes of each record of a batch; the records are taken in an order that brings like ones together."""

    counts: tuple[int, ...]     # of the records in each group: clean, with diffusion noise, with each artefact
    order: Tensor               # (b,)
    alpha_bar: Tensor           # (b,), in that order
    snr: Tensor                 # (b,), in that order


class Noising:
    """Noises batches of signals of some rate in Hz; the device never waits for a number.

    What is done to which record is drawn from a CPU generator, alike on every device; the noise itself is
    drawn on the device, seeded by that generator.
    """

    def __init__(self, settings: Noise, rate: float, device: str | torch.device = "cpu"):
        self.settings = settings
        self.alpha_bars = alpha_bars(settings.schedule, settings.steps)
        self.random = torch.Generator(device)
        wanted = settings.kinds if settings.artefacts else ()
        recordings = Recordings(settings.recordings, rate, "first", device) if wanted and settings.recordings else None
        self.artefacts = [partial(self.corrupt, kind) for kind in corruptions(wanted, rate, recordings).values()]

    def __call__(self, x: Signals, generator: torch.Generator) -> tuple[Signals, Signals]:
        """The model's input and its target."""
        return self.apply(self.plan(len(x), generator), x)

    def pair(self, x: Signals, y: Float[Tensor, "b k t"], generator: torch.Generator
             ) -> tuple[tuple[Signals, Signals], tuple[Float[Tensor, "b k t"], Float[Tensor, "b k t"]]]:
        """Input and target of x, and of y: the same kind and level of noise in both, drawn for each."""
        plan = self.plan(len(x), generator)
        return self.apply(plan, x), self.apply(plan, y)

    def plan(self, count: int, generator: torch.Generator) -> Plan:
        """Draw what becomes of `count` records, and seed the noise."""
        settings = self.settings

        def chance(share: float) -> Tensor:
            return torch.rand(count, generator=generator) < share
        artefact = 2 + torch.randint(max(1, len(self.artefacts)), (count,), generator=generator)
        groups = torch.where(chance(settings.artefacts), artefact, 1).masked_fill(chance(settings.clean), 0)
        alpha_bar = self.alpha_bars[draw_steps(settings.draw, count, settings.steps, generator)]
        low, high = settings.snr
        snr = low + (high - low) * torch.rand(count, generator=generator)
        self.random.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        order = groups.argsort(stable=True)
        counts = tuple(groups.bincount(minlength=2 + len(self.artefacts)).tolist())
        on_device = (part.to(self.random.device, non_blocking=True) for part in (order, alpha_bar, snr))
        return Plan(counts, *on_device)

    def apply(self, plan: Plan, x: Signals) -> tuple[Signals, Signals]:
        """Input and target; every call of one plan draws noise of its own."""
        groups = zip(*(part.split(plan.counts) for part in (x[plan.order], plan.alpha_bar, plan.snr)), strict=True)
        kinds = (self.keep, self.diffuse, *self.artefacts)
        parts = [kind(*group) for kind, group in zip(kinds, groups, strict=True) if len(group[0])]
        noised = torch.empty_like(x).index_copy_(0, plan.order, torch.cat(parts))
        return noised, x if self.settings.target == "clean" else noised

    def keep(self, x: Signals, alpha_bar: Tensor, snr: Tensor) -> Signals:
        return x

    def diffuse(self, x: Signals, alpha_bar: Tensor, snr: Tensor) -> Signals:
        x_t = q_sample(x, alpha_bar, white(x, self.random))
        return mix(x_t, x, self.settings.w, alpha_bar)

    def corrupt(self, corruption: Corruption, x: Signals, alpha_bar: Tensor, snr: Tensor) -> Signals:
        return corruption(x, snr, self.random)
