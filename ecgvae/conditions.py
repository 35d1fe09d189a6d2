"""The condition of a conditional model or prior: labels, age, sex and given leads, any of which may be unknown."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from ecgvae.settings import Settings
from ecgvae.signal import canonical_lead

MAX_AGE = 90        # years: PTB-XL has 300 for everybody over 89
MAX_CHANNELS = 4096
SEXES = ("male", "female")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")      # of PTB-XL (Wagner et al. 2020, table 6)


class ConditionSettings(Settings):
    """The condition of a model: labels in one or more columns of the store, age, sex, and some of its leads.

    In training, labels, age and sex are dropped together from a share `dropout` of the records, and each of them
    alone from the same share, so that the model can sample when any of them is unknown. `channels` is the number of
    channels that encode the condition.
    """

    former_names: ClassVar[dict[str, str]] = {"drop": "dropout"}

    labels: tuple[str, ...] = ()
    column: str | tuple[str, ...] = "superclass"
    age: bool = False
    sex: bool = False
    leads: tuple[str, ...] = ()
    dropout: float = Field(0.1, ge=0, lt=1)
    channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 32

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
    def columns(self) -> tuple[str, ...]:
        """The columns of the store that have the labels."""
        return (self.column,) if isinstance(self.column, str) else self.column

    @property
    def part_widths(self) -> tuple[int, ...]:
        """Length of each part of the vector (labels, age, sex); the last number of a part is 1 if it is known."""
        return (len(self.labels) + 1,) * bool(self.labels) + (2,) * self.age + (2,) * self.sex

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(self.part_widths)

    def vector(self, labels: Collection[str] = (), age: float | None = None, sex: str | None = None,
               complete: bool = True) -> list[float]:
        """The numbers that encode one record's condition; an unknown part is all zeros.

        Args:
            labels: Any of this condition's labels; none means unknown.
            age: Years.
            sex: "male" or "female".
            complete: Whether the record has none of the other labels; False if they are unknown.

        Raises:
            ValueError: The sex is another word.
        """
        if sex is not None and sex not in SEXES:
            raise ValueError(f"sex is {sex}; wanted {' or '.join(SEXES)}")
        numbers: list[float] = []
        if self.labels:
            numbers += [*(float(label in labels) for label in self.labels), float(complete and len(labels) > 0)]
        if self.age:
            numbers += [0.0, 0.0] if age is None else [min(age, MAX_AGE) / 50 - 1, 1.0]
        if self.sex:
            numbers += [0.0, 0.0] if sex is None else [float(SEXES.index(sex)), 1.0]
        return numbers

    def drop(self, vector: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Sets random parts of the vectors, or whole vectors, to unknown (zero), for training."""
        widths = torch.tensor(self.part_widths, device=vector.device)
        keep = torch.rand(len(vector), 1 + len(widths), device=vector.device) >= self.dropout
        known = keep[:, :1] & keep[:, 1:]
        return vector * known.repeat_interleave(widths, 1, output_size=vector.shape[1])

    def drop_labels(self, vector: Float[Tensor, "b k"], share: float) -> Float[Tensor, "b k"]:
        """Makes the labels of a share of the vectors incomplete: a random part of them is left out, for training.

        A model that is trained with it can be asked for some labels when nothing is known of the others.
        """
        if not self.labels:
            return vector
        n, device = len(self.labels), vector.device
        is_partial = torch.rand(len(vector), 1, device=device) < share
        keeps = torch.rand(len(vector), n, device=device) < torch.rand(len(vector), 1, device=device)
        kept = torch.cat([~is_partial | keeps, ~is_partial], 1)
        return torch.cat([vector[:, :n + 1] * kept, vector[:, n + 1:]], 1)


@dataclass(frozen=True)
class Conditioning:
    """The condition of a batch: `ConditionSettings.vector` of every record, and the given leads in mV."""

    vector: Float[Tensor, "b k"] | None = None
    signal: Float[Tensor, "b y t"] | None = None

    def __repr__(self) -> str:
        vector, signal = (None if value is None else tuple(value.shape) for value in (self.vector, self.signal))
        return f"Conditioning(vector of shape {vector}, signal of shape {signal})"
