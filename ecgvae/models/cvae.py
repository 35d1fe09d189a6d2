"""The conditional VAE: a condition of labels, age and sex, or of other leads."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from ecgvae.models.autoencoder import Reconstruction
from ecgvae.models.backbone import Part, Width
from ecgvae.models.vae import VAE, VAESettings
from ecgvae.nn.conv import Conv, carrying
from ecgvae.signal import canonical_lead

OLDEST = 90     # years: PTB-XL has 300 for everybody over 89
SEXES = ("male", "female")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")      # PTB-XL's (Wagner et al. 2020, table 6)


class ConditionSettings(Part):
    """What a model is told: any of the labels in a store's column, age, sex, and some of its leads.

    In training all of labels, age and sex are withheld from a share `drop` of the records, and each of them by
    itself from as large a share again, so that one may sample with any of them unknown.
    """

    labels: tuple[str, ...] = ()
    column: str = "superclass"
    age: bool = False
    sex: bool = False
    leads: tuple[str, ...] = ()
    drop: float = Field(0.1, ge=0, lt=1)
    channels: Width = 32        # of a frame of the condition

    @field_validator("leads")
    @classmethod
    def named_alike(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical_lead(lead) for lead in leads)

    @model_validator(mode="after")
    def something(self):
        if not (self.widths or self.leads):
            raise ValueError("condition is empty; wanted labels, age, sex or leads")
        for names in (self.labels, self.leads):
            if len(set(names)) < len(names):
                raise ValueError(f"condition has {', '.join(names)}; wanted every name once")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers that tell of the labels, of age and of sex; the last of each is 1 where it is known."""
        return (len(self.labels) + 1,) * bool(self.labels) + (2,) * self.age + (2,) * self.sex

    def vector(self, labels: Collection[str] = (), age: float | None = None, sex: str | None = None) -> list[float]:
        """What the model is told of one record; a part that is unknown, or without any label, is all zeros."""
        if sex is not None and sex not in SEXES:
            raise ValueError(f"sex is {sex}; wanted {' or '.join(SEXES)}")
        parts = []
        if self.labels:
            parts += [*(float(label in labels) for label in self.labels), float(len(labels) > 0)]
        if self.age:
            parts += [0.0, 0.0] if age is None else [min(age, OLDEST) / 50 - 1, 1.0]
        if self.sex:
            parts += [0.0, 0.0] if sex is None else [float(SEXES.index(sex)), 1.0]
        return parts


@dataclass(frozen=True)
class Conditioning:
    """The condition of a batch: `ConditionSettings.vector` of every record, and the given leads in mV."""

    vector: Float[Tensor, "b k"] | None = None
    signal: Float[Tensor, "b y t"] | None = None


class CVAESettings(VAESettings):
    """A VAE and what it is told."""

    family: Literal["cvae"] = "cvae"
    condition: ConditionSettings = ConditionSettings(labels=SUPERCLASSES, age=True, sex=True)

    @model_validator(mode="after")
    def own_leads(self):
        if unknown := [lead for lead in self.condition.leads if lead not in self.signal.leads]:
            raise ValueError(f"condition.leads has {', '.join(unknown)}; wanted some of the model's leads")
        return self


class CVAE(VAE):
    """A conditional VAE (Sohn et al. 2015): q(z|x, y) and p(x|z, y), with the prior N(0, I) whatever y is.

    Labels, age and sex become channels that are alike in every frame; given leads have an encoder of their own.
    Both are joined to the frames of x, and to those that the latent unfolds to. Without a condition labels, age
    and sex are unknown, and the given leads are those of x.
    """

    def __init__(self, settings: CVAESettings):
        condition = settings.condition
        super().__init__(settings, context=condition.channels)
        self.condition = condition
        chosen = [settings.signal.leads.index(lead) for lead in condition.leads]
        self.register_buffer("chosen", self.expansion[chosen], persistent=False)
        self.join = carrying(Conv(self.channels + condition.channels, self.channels, 1), self.channels)
        if condition.widths:
            self.embed = nn.Linear(sum(condition.widths), condition.channels)
        if condition.leads:
            self.observer = settings.backbone.build_encoder(len(condition.leads), condition.channels)
            self.context = self.context[0], self.context[1] + self.observer.context

    def given_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b y t"] | None:
        """The leads of x that the model is told of."""
        return torch.einsum("yc,bct->byt", self.chosen, x) if self.condition.leads else None

    def given(self, x: Float[Tensor, "b c t"], condition: Conditioning | None = None) -> Conditioning:
        condition = condition or Conditioning()
        return Conditioning(condition.vector, self.given_leads(x) if condition.signal is None else condition.signal)

    def see(self, x: Float[Tensor, "b c t"], condition: Conditioning | None = None) -> Float[Tensor, "b f m"]:
        return self.join(self.beside(super().see(x), condition))

    def tell(self, z: Float[Tensor, "b d n"], condition: Conditioning | None = None) -> Float[Tensor, "b f m"]:
        return self.beside(super().tell(z), condition)

    def beside(self, frames: Float[Tensor, "b f m"], condition: Conditioning | None) -> Float[Tensor, "b g m"]:
        """Frames with the condition's channels after their own."""
        condition, context = condition or Conditioning(), 0
        if self.condition.widths:
            vector = condition.vector
            unknown = frames.new_zeros(len(frames), sum(self.condition.widths))
            context = self.embed(unknown if vector is None else vector).unsqueeze(-1)
        if self.condition.leads:
            if condition.signal is None:
                raise ValueError(f"no signal of the given leads; wanted {', '.join(self.condition.leads)}")
            context = context + self.observer(self.whole_frames(condition.signal) / self.signal.scale)
        return torch.cat([frames, context.expand(-1, -1, frames.shape[-1])], 1)

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        return self.decode(self.encode(x), x.shape[-1], self.given(x))

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Conditioning | None = None) -> Reconstruction:
        condition = self.given(x, condition)
        if self.training and self.condition.widths and condition.vector is not None:
            condition = Conditioning(self.withheld(condition.vector), condition.signal)
        return super().forward(x, target, condition)

    def withheld(self, vector: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """The condition with the whole of it, and each part by itself, unknown at times."""
        widths = torch.tensor(self.condition.widths, device=vector.device)
        chance = torch.rand(len(vector), 1 + len(widths), device=vector.device) >= self.condition.drop
        kept = chance[:, :1] & chance[:, 1:]
        return vector * kept.repeat_interleave(widths, 1, output_size=vector.shape[1])
