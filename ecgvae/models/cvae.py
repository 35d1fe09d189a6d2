"""The conditional VAE: its condition is labels, age and sex, or other leads."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from ecgvae.models.autoencoder import Reconstruction, check_signals
from ecgvae.models.backbone import Encoder, Width
from ecgvae.models.vae import VAE, VAESettings
from ecgvae.nn.conv import Conv, identity_init
from ecgvae.settings import Settings
from ecgvae.signal import canonical_lead

MAX_AGE = 90        # years: PTB-XL has 300 for everybody over 89
SEXES = ("male", "female")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")      # of PTB-XL (Wagner et al. 2020, table 6)


class ConditionSettings(Settings):
    """The condition of a model: labels in a column of the store, age, sex, and some of its leads.

    In training, labels, age and sex are dropped together from a share `dropout` of the records, and each of them
    alone from the same share, so that the model can sample when any of them is unknown. `channels` is the number of
    channels of a frame of the condition.
    """

    former_names: ClassVar[dict[str, str]] = {"drop": "dropout"}

    labels: tuple[str, ...] = ()
    column: str = "superclass"
    age: bool = False
    sex: bool = False
    leads: tuple[str, ...] = ()
    dropout: float = Field(0.1, ge=0, lt=1)
    channels: Width = 32

    @field_validator("leads")
    @classmethod
    def _canonical(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(canonical_lead(lead) for lead in leads)

    @model_validator(mode="after")
    def _check_names(self):
        if not (self.part_widths or self.leads):
            raise ValueError("condition is empty; wanted labels, age, sex or leads")
        for names in (self.labels, self.leads):
            if len(set(names)) < len(names):
                raise ValueError(f"condition has {', '.join(names)}; wanted every name once")
        return self

    @property
    def part_widths(self) -> tuple[int, ...]:
        """Length of each part of the vector (labels, age, sex); the last number of a part is 1 if it is known."""
        return (len(self.labels) + 1,) * bool(self.labels) + (2,) * self.age + (2,) * self.sex

    def vector(self, labels: Collection[str] = (), age: float | None = None, sex: str | None = None) -> list[float]:
        """The numbers that encode one record's condition; an unknown part is all zeros.

        Args:
            labels: Any of this condition's labels; none means unknown.
            age: Years.
            sex: "male" or "female".

        Raises:
            ValueError: The sex is another word.
        """
        if sex is not None and sex not in SEXES:
            raise ValueError(f"sex is {sex}; wanted {' or '.join(SEXES)}")
        numbers: list[float] = []
        if self.labels:
            numbers += [*(float(label in labels) for label in self.labels), float(len(labels) > 0)]
        if self.age:
            numbers += [0.0, 0.0] if age is None else [min(age, MAX_AGE) / 50 - 1, 1.0]
        if self.sex:
            numbers += [0.0, 0.0] if sex is None else [float(SEXES.index(sex)), 1.0]
        return numbers


@dataclass(frozen=True)
class Conditioning:
    """The condition of a batch: `ConditionSettings.vector` of every record, and the given leads in mV."""

    vector: Float[Tensor, "b k"] | None = None
    signal: Float[Tensor, "b y t"] | None = None

    def __repr__(self) -> str:
        vector, signal = (None if value is None else tuple(value.shape) for value in (self.vector, self.signal))
        return f"Conditioning(vector of shape {vector}, signal of shape {signal})"


class CVAESettings(VAESettings):
    """A VAE with a condition."""

    family: Literal["cvae"] = "cvae"  # type: ignore[assignment]
    condition: ConditionSettings = ConditionSettings(labels=SUPERCLASSES, age=True, sex=True)

    @model_validator(mode="after")
    def _check_leads(self):
        if unknown := [lead for lead in self.condition.leads if lead not in self.signal.leads]:
            raise ValueError(f"condition.leads has {', '.join(unknown)}; wanted some of the model's leads")
        return self


class CVAE(VAE):
    """A conditional VAE (Sohn et al. 2015): q(z|x, y) and p(x|z, y), with the prior N(0, I) for every y.

    Labels, age and sex become channels that are equal in all frames; given leads have an encoder. These channels
    are concatenated to the encoder's frames and to the decoder's. Without a condition, labels, age and sex are
    unknown, and the given leads are those of x.
    """

    given_lead_matrix: Tensor
    lead_encoder: Encoder

    def __init__(self, settings: CVAESettings):
        condition = settings.condition
        super().__init__(settings, condition_channels=condition.channels)
        self.condition = condition
        rows = [settings.signal.leads.index(lead) for lead in condition.leads]
        self.register_buffer("given_lead_matrix", self.expansion[rows], persistent=False)
        self.frame_projection = identity_init(Conv(self.channels + condition.channels, self.channels, 1), self.channels)
        if condition.part_widths:
            self.condition_embedding = nn.Linear(sum(condition.part_widths), condition.channels)
        if condition.leads:
            self.lead_encoder = settings.backbone.build_encoder(len(condition.leads), condition.channels)
            self.context = self.context[0], self.context[1] + self.lead_encoder.context

    def given_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b y t"] | None:
        if not self.condition.leads:
            return None
        check_signals(x, self.signal.coded, not self.training, self.expansion.dtype)
        return torch.einsum("yc,bct->byt", self.given_lead_matrix, x)

    def given_condition(self, x: Float[Tensor, "b c t"], condition: Conditioning | None = None) -> Conditioning:
        condition = condition or Conditioning()
        return Conditioning(condition.vector, self.given_leads(x) if condition.signal is None else condition.signal)

    def encode_frames(self, x: Float[Tensor, "b c t"], condition: Any = None) -> Float[Tensor, "b f m"]:
        return self.frame_projection(self.concat_condition(super().encode_frames(x), condition))

    def decode_frames(self, z: Float[Tensor, "b d n"], condition: Any = None) -> Float[Tensor, "b f m"]:
        return self.concat_condition(super().decode_frames(z), condition)

    def concat_condition(self, frames: Float[Tensor, "b f m"], condition: Conditioning | None
                         ) -> Float[Tensor, "b g m"]:
        """Frames followed by the condition's channels."""
        condition = condition or Conditioning()
        channels: Any = 0
        if self.condition.part_widths:
            unknown = frames.new_zeros(len(frames), sum(self.condition.part_widths))
            vector = unknown if condition.vector is None else condition.vector
            channels = self.condition_embedding(vector).unsqueeze(-1)
        if self.condition.leads:
            if condition.signal is None:
                raise ValueError(f"no signal of the given leads; wanted {', '.join(self.condition.leads)}")
            channels = channels + self.lead_encoder(self.pad_to_frames(condition.signal) / self.signal.scale)
        return torch.cat([frames, channels.expand(-1, -1, frames.shape[-1])], 1)

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        return self.decode(self.encode(x), x.shape[-1], self.given_condition(x))

    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Conditioning | None = None) -> Reconstruction:
        condition = self.given_condition(x, condition)
        if self.training and self.condition.part_widths and condition.vector is not None:
            condition = Conditioning(self.condition_dropout(condition.vector), condition.signal)
        return super().forward(x, target, condition)

    def condition_dropout(self, vector: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Sets random parts of the vectors, or whole vectors, to unknown (zero)."""
        widths = torch.tensor(self.condition.part_widths, device=vector.device)
        keep = torch.rand(len(vector), 1 + len(widths), device=vector.device) >= self.condition.dropout
        known = keep[:, :1] & keep[:, 1:]
        return vector * known.repeat_interleave(widths, 1, output_size=vector.shape[1])
