"""Records to tokens and back, whatever the model and however long the record."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.data.tokens import Stream, TokenHeader, Tokens
from ecgvae.models import Autoencoder
from ecgvae.signal import Record, RecordFile, conform_stream, ratio, resample

PIECE = 1 << 14     # samples a model sees at once of a long record (164 s at 100 Hz), and its overlap besides
CACHED = 8          # records at a time on a CPU: what its cache holds
EVEN = 0.002        # mV: half the sum of two such steps is whole microvolts, so files keep Einthoven's law exactly


@dataclass(frozen=True)
class Tokenizer:
    """A model with the records around it: leads, rate, length and any amount of either."""

    model: Autoencoder
    name: str = "model"

    @classmethod
    def load(cls, model: str | Path, device: str = "auto") -> "Tokenizer":
        """A shipped tokenizer by name, or a checkpoint folder; `device` as torch names it, or "auto"."""
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder)
        return cls(module.to(pick_device(device)), folder.resolve().name)

    @cached_property
    def identity(self) -> str:
        """What token files know this tokenizer by: a hash of its settings and weights."""
        return checkpoint.identity(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def header(self, codebooks: int | None = None) -> TokenHeader:
        """The facts that tokens of this tokenizer share."""
        streams = tuple(Stream(hop, size) for hop, size in self.model.streams[:self.checked(codebooks)])
        return TokenHeader(self.identity, self.name, self.model.signal.rate, self.model.signal.leads, streams)

    def checked(self, codebooks: int | None) -> int:
        most = len(self.model.streams)
        if codebooks is not None and not 1 <= codebooks <= most:
            raise ValueError(f"codebooks is {codebooks}; {self.name} has 1 to {most}")
        return codebooks or most

    def encode(self, record: Record | RecordFile | np.ndarray, *, rate: float | None = None,
               leads: Sequence[str] | None = None, codebooks: int | None = None, missing: str = "error") -> Tokens:
        """Tokens of one record, or of an array (c, t) in mV given with its rate in Hz and lead names.

        A lead that is missing is a ValueError, or zero with missing="zero". Memory does not grow with length.
        """
        if isinstance(record, np.ndarray):
            if rate is None or leads is None:
                raise ValueError("an array came without rate= or leads=; give both")
            record = Record(record, rate, tuple(leads))
        return self.encode_many([record], codebooks, missing)[0]

    def encode_many(self, records: Iterable[Record | RecordFile], codebooks: int | None = None,
                    missing: str = "error", batch_size: int = 64,
                    unusable: Callable[[int, Exception], object] | None = None) -> list[Tokens]:
        """Tokens of several records; those of equal length go through the model together.

        A record that can't be used is an error, or is left out after `unusable` was told its place and why.
        """
        codebooks = self.checked(codebooks)
        tokens, waiting = [], {}
        for place, record in enumerate(records):
            source = Source(record, self.model, missing)
            try:
                first = next(source.pieces)
                if not first.whole:
                    source.codes = self.long_codes(chain([first], source.pieces), source.frames, codebooks)
            except (ValueError, OSError) as error:
                if unusable is None:
                    raise
                unusable(place, error)
                continue
            tokens.append(source)
            if first.whole:
                waiting.setdefault(first.signal.shape[-1], []).append((source, first.signal))
        for group in waiting.values():
            for start in range(0, len(group), batch_size):
                batch = group[start:start + batch_size]
                codes = self.codes(np.stack([signal for _, signal in batch]), codebooks)
                for (source, _), row in zip(batch, codes, strict=True):
                    source.codes = row
        return [source.tokens() for source in tokens]

    def long_codes(self, pieces: Iterable["Piece"], frames: int, codebooks: int) -> np.ndarray:
        """(q, frames) codes of a record in pieces."""
        every, done, hop = np.empty((codebooks, frames), np.int64), 0, self.model.hop   # in one place, or memory frays
        for piece in pieces:
            codes = self.codes(piece.signal[None], codebooks)[0, :, piece.start // hop:-(-piece.stop // hop)]
            every[:, done:done + codes.shape[1]] = codes
            done += codes.shape[1]
        return every

    @torch.inference_mode()
    def codes(self, signals: np.ndarray, codebooks: int) -> np.ndarray:
        """(b, c, t) mV to (b, q, n) codes."""
        group = CACHED if self.device.type == "cpu" else len(signals)
        parts = torch.from_numpy(signals).to(self.device).split(group)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):    # ten bits would flip nearest codes
            return torch.cat([self.model.tokenize(part, codebooks) for part in parts]).cpu().numpy()

    def decode(self, tokens: Tokens, original: bool = True) -> Record:
        """The record of some tokens, with every lead, at the rate and length of the record they came from.

        With `original=False` it has the model's own rate.
        """
        self.header(len(tokens.codes)).check(tokens)
        signal = self.decode_coded(tokens.codes, tokens.samples)
        rate = self.model.signal.rate
        if original and tokens.source_rate != rate:
            rate = tokens.source_rate
            signal = resample(signal, self.model.signal.rate, rate)[:, :tokens.source_samples]
        return Record(self.every_lead(signal), rate, self.model.signal.leads, tokens.name, tokens.comments)

    def every_lead(self, signal: np.ndarray) -> np.ndarray:
        """All leads (l, t) of the coded ones (c, t), which are rounded to even microvolts first."""
        every = np.empty((len(self.model.signal.leads), signal.shape[1]), np.float32)
        for start in range(0, signal.shape[1], PIECE):      # float64 only in parts
            part = slice(start, start + PIECE)
            every[:, part] = self.model.signal.expansion @ (np.rint(signal[:, part].astype(np.float64) / EVEN) * EVEN)
        return every

    @torch.inference_mode()
    def decode_coded(self, codes: Sequence[np.ndarray], samples: int) -> np.ndarray:
        """The coded leads (c, t), pieced together where they are long."""
        hop, halo = self.model.hop, self.model.reach[1]
        codes = torch.from_numpy(np.stack(codes).astype(np.int64))
        size = PIECE // hop
        signal = np.empty((len(self.model.signal.coded), samples), np.float32)
        for start in range(0, codes.shape[1], size):
            before, stop = max(0, start - halo), start + size
            z = codes[None, :, before:stop + halo].to(self.device)
            own = signal[:, start * hop:stop * hop]
            first = (start - before) * hop
            own[:] = self.model.detokenize(z)[0, :, first:first + own.shape[1]].cpu().numpy()
        return signal


def pick_device(device: str) -> torch.device:
    """The device of a name; "auto" is a GPU where there is one. ValueError if torch can't use it."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device}: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class Piece:
    """Part of a signal with overlap: the samples from start to stop are its own."""

    signal: np.ndarray
    start: int
    stop: int
    whole: bool      # it is all there is


class Source:
    """A record on its way to tokens: its conformed signal in pieces, and what is noted on the way."""

    def __init__(self, record: Record | RecordFile, model: Autoencoder, missing: str):
        self.record, self.model, self.samples, self.notes = record, model, 0, ()
        self.codes: np.ndarray | None = None
        self.pieces = pieces(self.blocks(missing), PIECE // model.hop * model.hop, model.reach[0] * model.hop)

    @property
    def frames(self) -> int:
        """How many codes the record will have in a stream."""
        samples = ratio(self.record.rate, self.model.signal.rate).length(self.record.samples)
        return -(-samples // self.model.hop)

    def blocks(self, missing: str) -> Iterator[np.ndarray]:
        for block in conform_stream(self.record, self.model.signal, missing):
            self.samples += block.signal.shape[1]
            self.notes = block.notes
            yield block.signal

    def tokens(self) -> Tokens:
        record = self.record
        return Tokens(tuple(self.codes), self.samples, record.name, record.rate, record.samples,
                      comments=record.comments, notes=self.notes)


def pieces(blocks: Iterable[np.ndarray], size: int, halo: int) -> Iterator[Piece]:
    """Cut a signal that comes in blocks into pieces of `size` samples, with up to `halo` more on either side.

    Only the last one may be shorter, or longer by the halo.
    """
    signal, before, whole = None, 0, True       # what is still needed, how much of it lies before the next piece
    for block in blocks:
        signal = block if signal is None else np.concatenate([signal, block], axis=1)
        while signal.shape[1] > before + size + halo:
            whole = False
            yield Piece(signal[:, :before + size + halo], before, before + size, whole)
            cut = max(0, before + size - halo)
            signal, before = signal[:, cut:], before + size - cut
    yield Piece(signal, before, signal.shape[1], whole)
