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
from ecgvae.models import Autoencoder, Quantizing
from ecgvae.signal import Record, RecordFile, conform_stream, ratio, resample

PIECE = 1 << 14     # samples a model sees at once of a long record (164 s at 100 Hz), and its overlap besides
CACHED = 8          # records at a time on a CPU: what its cache holds
EVEN = 0.002        # mV: half the sum of two such steps is whole microvolts, so files keep Einthoven's law exactly


@dataclass(frozen=True)
class Tokenizer:
    """A model with the records around it: leads, rate, length and any amount of either."""

    model: Quantizing
    name: str = "model"

    @classmethod
    def load(cls, model: str | Path, device: str = "auto") -> "Tokenizer":
        """A shipped tokenizer by name, or a checkpoint folder; `device` as torch names it, or "auto"."""
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder)
        if not isinstance(module, Quantizing):
            raise ValueError(f"{model} is of family {module.settings.family}, which has no tokens; wanted a tokenizer")
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
                    source.codes = self.long_codes(chain([first], source.pieces), source.length, codebooks)
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
                streams = self.codes(np.stack([signal for _, signal in batch]), codebooks)
                for (source, _), *codes in zip(batch, *streams, strict=True):
                    source.codes = tuple(codes)
        return [source.tokens() for source in tokens]

    def long_codes(self, pieces: Iterable["Piece"], samples: int, codebooks: int) -> tuple[np.ndarray, ...]:
        """Codes (n,) of every stream of a record in pieces."""
        streams = self.header(codebooks).streams
        every = tuple(np.empty(stream.length(samples), np.int64) for stream in streams)    # else memory frays
        done = 0
        for piece in pieces:
            for stream, codes, whole in zip(streams, self.codes(piece.signal[None], codebooks), every, strict=True):
                own = codes[0, piece.start // stream.hop:stream.length(piece.stop)]
                whole[done // stream.hop:done // stream.hop + len(own)] = own
            done += piece.stop - piece.start
        return every

    @torch.inference_mode()
    def codes(self, signals: np.ndarray, codebooks: int) -> tuple[np.ndarray, ...]:
        """(b, c, t) mV to (b, n) codes of every stream."""
        group = CACHED if self.device.type == "cpu" else len(signals)
        parts = torch.from_numpy(signals).to(self.device).split(group)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):    # ten bits would flip nearest codes
            streams = zip(*(self.model.tokenize(part, codebooks) for part in parts), strict=True)
            return tuple(torch.cat(stream).cpu().numpy() for stream in streams)

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
        grain, halo = self.model.grain, whole(self.model.reach[1], self.model.grain)
        streams = [(torch.from_numpy(row.astype(np.int64)), hop)
                   for row, (hop, _) in zip(codes, self.model.streams, strict=False)]
        signal = np.empty((len(self.model.signal.coded), samples), np.float32)
        for start in range(0, samples, PIECE // grain * grain):
            before, own = max(0, start - halo), signal[:, start:start + PIECE // grain * grain]
            after = min(samples, start + own.shape[1] + halo)
            part = [row[None, before // hop:-(-after // hop)].to(self.device) for row, hop in streams]
            own[:] = self.model.detokenize(part, after - before)[0, :, start - before:][:, :own.shape[1]].cpu().numpy()
        return signal


def whole(samples: int, grain: int) -> int:
    """Samples, up to a multiple of the grain."""
    return -(-samples // grain) * grain


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
        self.codes: tuple[np.ndarray, ...] = ()
        size = PIECE // model.grain * model.grain
        self.pieces = pieces(self.blocks(missing), size, whole(model.reach[0], model.grain))

    @property
    def length(self) -> int:
        """Samples the record will have at the model's rate."""
        return ratio(self.record.rate, self.model.signal.rate).length(self.record.samples)

    def blocks(self, missing: str) -> Iterator[np.ndarray]:
        for block in conform_stream(self.record, self.model.signal, missing):
            self.samples += block.signal.shape[1]
            self.notes = block.notes
            yield block.signal

    def tokens(self) -> Tokens:
        record = self.record
        return Tokens(self.codes, self.samples, record.name, record.rate, record.samples,
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
