"""What every family honours: signals in, latents, signals of the same length out."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ecgvae.signal import SignalSpec


class Settings(BaseModel):
    """Settings of a model: frozen, and a key nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    signal: SignalSpec = SignalSpec()


@dataclass(frozen=True)
class Reconstruction:
    """A training pass: the signal that came back, and loss terms and statistics by name.

    Item i was coded at rate i mod `groups`, where a model trains for several rates at once.
    """

    signal: Float[Tensor, "b c t"]
    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)
    groups: int = 1


class Autoencoder(nn.Module, ABC):
    """A model between the coded leads of an ECG, (b, c, t) in mV, and a latent, (b, d, n) with n = ceil(t / hop)."""

    hop: int                    # samples per frame
    reach: tuple[int, int]      # frames beyond its own that encoding and decoding look at, on either side

    def __init__(self, settings: Settings):
        super().__init__()
        self.settings = settings
        self.signal = settings.signal
        expansion = torch.tensor(settings.signal.expansion, dtype=torch.float32, device="cpu")
        self.register_buffer("expansion", expansion, persistent=False)

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        """The latent, the same in training and not."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        """The signal of a latent, cut to so many samples."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c t"]) -> Reconstruction:
        """A training pass."""

    def features(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        """What a classifier may read, one vector a frame."""
        return self.encode(x)

    def all_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b l t"]:
        """Every lead of the signal's contract from the coded ones (Einthoven, Goldberger)."""
        return torch.einsum("lc,bct->blt", self.expansion, x)

    def whole_frames(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """The signal up to a multiple of the hop, its last sample held."""
        missing = -x.shape[-1] % self.hop
        return F.pad(x, (0, missing), mode="replicate") if missing else x
