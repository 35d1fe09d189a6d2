"""From what a prior draws to records, and from the beginning of a record to what a prior continues."""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ecgvae import checkpoint
from ecgvae.data.tokens import Tokens
from ecgvae.generation.conditions import Condition
from ecgvae.generation.request import Sample
from ecgvae.models import Autoencoder
from ecgvae.priors import FrameLayout
from ecgvae.signal import Record, RecordFile, SignalSpec, conform
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes
from ecgvae.signal.generated import generated_note
from ecgvae.tokenizer import Tokenizer
from ecgvae.tokenizer.decoding import expand_leads
from ecgvae.wording import plain


class Decoder(ABC):
    """The autoencoder of a prior.

    Attributes:
        name: The autoencoder's name.
        identity: The hash of its settings and weights.
        signal: The leads and the rate of its records.
    """

    name: str
    identity: str
    signal: SignalSpec

    @abstractmethod
    def decode(self, drawn: Tensor, samples: int, name: str, comments: tuple[str, ...], condition: Condition) -> Sample:
        """The record of one drawn item, with a number of samples."""

    @abstractmethod
    def encode(self, record: Record | RecordFile, frames: int) -> Tensor:
        """The first frames of a record as a batch of one, as the prior draws them.

        Raises:
            ValueError: The record lacks a lead, or its amplitudes cannot be those of an ECG in mV.
        """


class TokenDecoder(Decoder):
    """The tokenizer of a prior over frames of codes."""

    def __init__(self, tokenizer: Tokenizer, layout: FrameLayout):
        self.tokenizer, self.layout = tokenizer, layout
        self.name, self.identity, self.signal = tokenizer.name, tokenizer.identity, tokenizer.model.signal

    def decode(self, drawn: Int[Tensor, "n s"], samples: int, name: str, comments: tuple[str, ...],
               condition: Condition) -> Sample:
        codes = tuple(row[0].cpu().numpy() for row in self.layout.unpack(drawn[None], samples))
        note = generated_note(comments)
        tokens = Tokens(codes, samples, name, self.signal.rate, samples, comments=comments,
                        notes=() if note is None else (note,), source_leads=self.signal.leads)
        return Sample(self.tokenizer.decode(tokens), condition, tokens)

    def encode(self, record: Record | RecordFile, frames: int) -> Int[Tensor, "1 n s"]:
        return self.frames(self.tokenizer.encode(record, codebooks=len(self.layout.codebooks)))[:, :frames]

    def frames(self, tokens: Tokens) -> Int[Tensor, "1 n s"]:
        """The frames of the codes of tokens of this tokenizer; ValueError if they are not such."""
        count = len(self.layout.codebooks)
        if len(tokens.codes) < count:
            raise ValueError(f"{plain(tokens.name)} has {len(tokens.codes)} codebooks; the prior wants {count}")
        tokens = replace(tokens, codes=tuple(tokens.codes[:count]))
        self.tokenizer.header(count).check(tokens)
        return self.layout.pack([torch.from_numpy(row.astype(np.int64))[None] for row in tokens.codes])


class LatentDecoder(Decoder):
    """The autoencoder of a prior over a continuous latent."""

    def __init__(self, model: Autoencoder, name: str, identity: str, amplitudes: Amplitudes | None = None):
        if model.condition is not None and model.condition.leads:
            raise ValueError(f"{name} decodes with the given leads {', '.join(model.condition.leads)}, which a prior "
                             "does not have")
        self.model, self.name, self.identity, self.amplitudes = model, name, identity, amplitudes
        self.signal = model.signal

    @torch.inference_mode()
    def decode(self, drawn: Float[Tensor, "d n"], samples: int, name: str, comments: tuple[str, ...],
               condition: Condition) -> Sample:
        coded = self.model.decode(drawn[None].to(self.model.expansion.device), samples)[0].cpu().numpy()
        signal = expand_leads(self.signal, coded, self.signal.leads)
        return Sample(Record(signal, self.signal.rate, self.signal.leads, name, comments), condition)

    @torch.inference_mode()
    def encode(self, record: Record | RecordFile, frames: int) -> Float[Tensor, "1 d n"]:
        signal = conform(record.read(), self.signal).signal
        if self.amplitudes:
            meter = AmplitudeMeter(self.signal.rate)
            meter.add(signal)
            self.amplitudes.check(meter, record.name)
        x = torch.from_numpy(signal)[None].to(self.model.expansion.device)
        return self.model.encode(x)[..., :frames]


def load_decoder(folder: Path, layout: FrameLayout | None, device: str) -> Decoder:
    """Loads the autoencoder of a prior; with a layout for codes, else for the latent."""
    if layout is not None:
        return TokenDecoder(Tokenizer.load(folder, device), layout)
    return LatentDecoder(checkpoint.load(folder, device), checkpoint.model_name(folder), checkpoint.identity(folder),
                         checkpoint.amplitudes(folder))
