"""The conditional VAE: its condition is labels, age and sex, or other leads."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import model_validator
from torch import Tensor, nn

from ecgvae.conditions import SUPERCLASSES, Conditioning, ConditionSettings
from ecgvae.models.autoencoder import Reconstruction, check_signals
from ecgvae.models.backbone import Encoder
from ecgvae.models.vae import VAE, VAESettings
from ecgvae.nn.conv import Conv, identity_init


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
            self.condition_embedding = nn.Linear(condition.width, condition.channels)
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

    def condition_frames(self, frames: Float[Tensor, "b f m"], condition: Any = None) -> Float[Tensor, "b f m"]:
        return self.frame_projection(self.concat_condition(frames, condition))

    def decode_frames(self, z: Float[Tensor, "b d n"], condition: Any = None) -> Float[Tensor, "b f m"]:
        return self.concat_condition(super().decode_frames(z), condition)

    def concat_condition(self, frames: Float[Tensor, "b f m"], condition: Conditioning | None
                         ) -> Float[Tensor, "b g m"]:
        """Frames followed by the condition's channels."""
        condition = condition or Conditioning()
        channels: Any = 0
        if self.condition.part_widths:
            unknown = frames.new_zeros(len(frames), self.condition.width)
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
            condition = Conditioning(self.condition.drop(condition.vector), condition.signal)
        return super().forward(x, target, condition)
