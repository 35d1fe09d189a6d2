"""What every family honours: signals in, latents, signals of the same length out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.backbone import SIZES, Backbone, Width
from ecgvae.signal import SignalSpec


class Settings(BaseModel):
    """Settings of a model: frozen, and a key nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: str
    signal: SignalSpec = SignalSpec()
    backbone: Backbone = SIZES["conv-small"]
    latent: Width = 64


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

    hop: int                    # samples per frame of the latent
    total_hop: int                  # samples that a long record may be cut at multiples of: the hop of the coarsest codes
    condition: Any = None       # settings of what a conditional model is told besides the signal
    context: tuple[int, int]      # samples beyond its own that encoding and decoding look at, on either side

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
    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        """A training pass; `target` is what should come back, where it is not x itself."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Parameter:
        """The last weights of the decoder, where an adversary's gradient is weighed against the others'."""

    @property
    def codebook_specs(self) -> tuple[CodebookSpec, ...]:
        """Hop and number of codes of every codebook; none where the latent is continuous."""
        return ()

    def features(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        """What a classifier may read, one vector a frame."""
        return self.encode(x)

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """The signal as it comes back through the latent, or through all streams of tokens."""
        return self.decode(self.encode(x), x.shape[-1])

    def reconstructions(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b c t"]]:
        """The signal as it comes back at every rate: once through the latent, or with 1, 2, ... of the streams."""
        yield self.reconstruct(x)

    def given_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b y t"] | None:
        """The leads of x that a conditional model is told of."""
        return None

    def all_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b l t"]:
        """Every lead of the signal's contract from the coded ones (Einthoven, Goldberger)."""
        return torch.einsum("lc,bct->blt", self.expansion, x)

    def whole_frames(self, x: Float[Tensor, "b c t"], hop: int | None = None) -> Float[Tensor, "b c s"]:
        """The signal up to a multiple of the hop, its last sample held."""
        missing = -x.shape[-1] % (hop or self.hop)
        return F.pad(x, (0, missing), mode="replicate") if missing else x


class QuantizedAutoencoder(Autoencoder):
    """A model whose latent can be told in streams of codes, the first few of which decode by themselves."""

    @abstractmethod
    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        """The codes of all streams, or of the first few; each has one code for every hop of its own."""

    @abstractmethod
    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        """The signal of the codes of all streams, or of the first few."""

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        return self.detokenize(self.tokenize(x), x.shape[-1])

    def reconstructions(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b c t"]]:
        codes = self.tokenize(x)
        for count in range(1, len(codes) + 1):
            yield self.detokenize(codes[:count], x.shape[-1])
