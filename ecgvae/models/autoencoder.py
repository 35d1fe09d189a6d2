"""The contract of every family: signals to latents, and latents to signals of the same length."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ecgvae.codebooks import CodebookSpec
from ecgvae.models.backbone import SIZES, Backbone, Width
from ecgvae.settings import Settings
from ecgvae.signal import SignalSpec
from ecgvae.wording import quote


class ModelSettings(Settings):
    """Settings that every family has."""

    family: str
    signal: SignalSpec = SignalSpec()
    backbone: Backbone = SIZES["conv-small"]
    latent: Width = 64


@dataclass(frozen=True)
class Layer:
    """A layer of an encoder.

    Attributes:
        width: Channels of its output.
        hop: Samples of a frame of its output.
    """

    width: int
    hop: int


@dataclass(frozen=True)
class Reconstruction:
    """The result of a training pass: the reconstructed signal, and loss terms and statistics by name.

    A model that trains with several numbers of codebooks at once has `groups` of them: items of the batch with equal
    i mod `groups` used the same number.
    """

    signal: Float[Tensor, "b c t"]
    losses: dict[str, Tensor] = field(default_factory=dict)
    stats: dict[str, Tensor] = field(default_factory=dict)
    groups: int = 1


class Autoencoder(nn.Module, ABC):
    """A model between the coded leads of an ECG, (b, c, t) in mV, and a latent, (b, d, n) with n = ceil(t / hop).

    Attributes:
        settings: The settings the model was built from.
        signal: Leads, rate in Hz and scale of the signals it takes. `signal.coded` are the linearly independent
            leads that it encodes: I, II and V1-V6 of twelve.
        hop: Samples of a frame of the latent.
        total_hop: Samples at whose multiples a long record may be cut, the hop of the coarsest codebook.
        context: Samples on either side, beyond its own, that encoding and decoding depend on.
        condition: Settings of the condition of a conditional model, else None.
    """

    hop: int
    total_hop: int
    context: tuple[int, int]
    condition: Any = None
    expansion: Tensor

    def __init__(self, settings: ModelSettings):
        super().__init__()
        self.settings: Any = settings
        self.signal = settings.signal
        expansion = torch.tensor(settings.signal.expansion, dtype=torch.float32, device="cpu")
        self.register_buffer("expansion", expansion, persistent=False)

    def __repr__(self) -> str:
        backbone, parameters = self.settings.backbone.kind, sum(parameter.numel() for parameter in self.parameters())
        signal = f"{len(self.signal.leads)} leads at {self.signal.rate:g} Hz"
        return f"{type(self).__name__}({backbone}, {signal}, latent {self.settings.latent}, {parameters:,} parameters)"

    def __str__(self) -> str:
        """All layers, as torch shows them."""
        return super().__repr__()

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        """The latent of signals; it does not depend on training mode.

        Args:
            x: Coded leads (`signal.coded`) in mV at the model's rate, any number of samples.

        Raises:
            ValueError: The signals have other leads, or are not finite.
        """

    @abstractmethod
    def decode(self, z: Float[Tensor, "b d n"], samples: int | None = None) -> Float[Tensor, "b c t"]:
        """The signals of a latent, coded leads in mV, cut to a number of samples (default: n times hop)."""

    @abstractmethod
    def forward(self, x: Float[Tensor, "b c t"], target: Float[Tensor, "b c t"] | None = None,
                condition: Any = None) -> Reconstruction:
        """A training pass; `target` is the signal to reconstruct, by default x."""

    @property
    @abstractmethod
    def last_layer(self) -> nn.Parameter:
        """The last weights of the decoder, at which adversarial and other gradients are balanced."""

    @property
    def codebook_specs(self) -> tuple[CodebookSpec, ...]:
        """Hop and number of codes of every codebook; empty if the latent is continuous."""
        return ()

    def feature_maps(self, x: Float[Tensor, "b c t"], layers: Collection[str] | None = None
                     ) -> dict[str, Float[Tensor, "b _ _"]]:
        """The outputs of layers of the encoder, each (b, its width, its frames), with gradients.

        They are "layer1", "layer2" and so on in the order of computation, "latent" and, of a tokenizer, "quantized".
        Those of coarser levels begin with "coarse1.", "coarse2." and so on, from the finest up.

        Args:
            x: Coded leads (`signal.coded`) in mV at the model's rate, any number of samples.
            layers: The layers that are wanted, by default all; what only others need is not computed.

        Raises:
            ValueError: The signals have other leads, or are not finite; or there is no such layer.
        """
        if layers is not None:
            self.check_layers(layers)
        maps: dict[str, Tensor] = {}
        for name, output in self.layer_outputs(x):
            if layers is None or name in layers:
                maps[name] = output
            if layers is not None and len(maps) == len(set(layers)):
                break
        return maps

    def check_layers(self, layers: Collection[str]) -> None:
        """Raises ValueError unless these are layers of the encoder, at least one."""
        if not layers or (unknown := [name for name in layers if name not in self.layers]):
            got = f"no layer {quote(unknown[0])}" if layers else "no layers"
            raise ValueError(f"{got}; wanted some of {', '.join(self.layers)}")

    @abstractmethod
    def layer_outputs(self, x: Float[Tensor, "b c t"]) -> Iterator[tuple[str, Float[Tensor, "b _ _"]]]:
        """The name and the output of each layer, computed one by one."""

    @cached_property
    def layers(self) -> dict[str, Layer]:
        """The layers that `feature_maps` has."""
        samples = 2 * self.total_hop
        x = self.expansion.new_zeros(1, len(self.signal.coded), samples)
        with torch.no_grad():
            return {name: Layer(output.shape[1], samples // output.shape[2]) for name, output in self.layer_outputs(x)}

    def features(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b d n"]:
        """Features for a classifier, one vector per frame."""
        return self.encode(x)

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """The signals after encoding and decoding, with all codebooks."""
        return self.decode(self.encode(x), x.shape[-1])

    def reconstructions(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b c t"]]:
        """The reconstruction at every rate: one of a continuous latent, or with 1, 2, ... of the codebooks."""
        yield self.reconstruct(x)

    def given_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b y t"] | None:
        """The leads of x that are part of a conditional model's condition."""
        return None

    def all_leads(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b l t"]:
        """Every lead of `signal.leads` from the coded ones (Einthoven, Goldberger)."""
        check_signals(x, self.signal.coded, False, self.expansion.dtype)
        return torch.einsum("lc,bct->blt", self.expansion, x)

    def to_model_input(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c s"]:
        """Checked signals in units of the model's scale, padded to whole frames."""
        check_signals(x, self.signal.coded, not self.training, self.expansion.dtype)
        return self.pad_to_frames(x) / self.signal.scale

    def pad_to_frames(self, x: Float[Tensor, "b c t"], hop: int | None = None) -> Float[Tensor, "b c s"]:
        """The signals padded to a multiple of the hop by repeating the last sample."""
        missing = -x.shape[-1] % (hop or self.hop)
        return F.pad(x, (0, missing), mode="replicate") if missing else x


class QuantizedAutoencoder(Autoencoder):
    """A model whose latent is a set of codes; any number of its first codebooks decodes."""

    @abstractmethod
    def tokenize(self, x: Float[Tensor, "b c t"], codebooks: int | None = None) -> tuple[Int[Tensor, "b _"], ...]:
        """The codes of signals: for each codebook (the first few, or all) ceil(t / its hop) codes."""

    @abstractmethod
    def detokenize(self, codes: Sequence[Int[Tensor, "b _"]], samples: int | None = None) -> Float[Tensor, "b c t"]:
        """The signals of the codes of all codebooks or of the first few, cut to a number of samples."""

    @abstractmethod
    def code_vectors(self) -> tuple[Float[Tensor, "_ d"], ...]:
        """For each codebook, the vector that each of its codes stands for."""

    def reconstruct(self, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        return self.detokenize(self.tokenize(x), x.shape[-1])

    def reconstructions(self, x: Float[Tensor, "b c t"]) -> Iterator[Float[Tensor, "b c t"]]:
        codes = self.tokenize(x)
        for count in range(1, len(codes) + 1):
            yield self.detokenize(codes[:count], x.shape[-1])


def encoder_outputs(encoder: Any, x: Tensor, prefix: str = "") -> Generator[tuple[str, Tensor], None, Tensor]:
    """The name and the output of each layer of an encoder; returns its output."""
    output = x
    for number, output in enumerate(encoder.outputs(x), 1):
        yield f"{prefix}layer{number}", output
    return encoder.project(output)


def check_signals(x: Any, leads: Sequence[str], finite: bool = True, dtype: torch.dtype = torch.float32) -> None:
    """Raises ValueError unless x is a batch of signals of these leads, (b, c, t) with t > 0, and finite if wanted."""
    if not isinstance(x, Tensor):
        raise ValueError(f"signals of type {type(x).__name__}; wanted a torch tensor, as from torch.as_tensor")
    if x.ndim != 3 or x.shape[1] != len(leads) or not x.shape[-1]:
        raise ValueError(f"signals of shape {tuple(x.shape)}; wanted (batch, {len(leads)} leads, samples): "
                         f"{', '.join(leads)} in mV")
    if not x.is_floating_point() or (x.dtype == torch.float64 and dtype != torch.float64):
        raise ValueError(f"signals of {x.dtype}; wanted {dtype}, as from x.to({dtype})")
    if finite and not x.is_meta and not torch.compiler.is_compiling() and not bool(torch.isfinite(x).all()):
        raise ValueError("the signals hold NaN or infinity; wanted finite numbers in mV")
