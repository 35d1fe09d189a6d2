"""Records to tokens and back, whatever the model and however long the record."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.tokens import TokenHeader, Tokens
from ecgvae.models import Autoencoder, QuantizedAutoencoder
from ecgvae.signal import Record, RecordFile, conform_stream, ratio, resample

PIECE = 1 << 14     # samples a model sees at once of a long record (164 s at 100 Hz), and its overlap besides
CACHED = 8          # records at a time on a CPU: what its cache holds
KEPT = 31 << 18     # numbers in a block (31 MiB) after whose release glibc keeps what is freed, see mallopt(3)
STEP_MV = 0.002        # mV: half the sum of two such steps is whole microvolts, so files keep Einthoven's law exactly


@dataclass(frozen=True)
class Tokenizer:
    """A model with the records around it: leads, rate, length and any amount of either."""

    model: QuantizedAutoencoder
    name: str = "model"

    @classmethod
    def load(cls, model: str | Path, device: str = "auto") -> "Tokenizer":
        """A shipped tokenizer by name, or a checkpoint folder; `device` as torch names it, or "auto"."""
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder, device)
        if not isinstance(module, QuantizedAutoencoder):
            raise ValueError(f"{model} is of family {module.settings.family}, which has no tokens; wanted a tokenizer")
        return cls(module, folder.resolve().name)

    @cached_property
    def identity(self) -> str:
        """What token files know this tokenizer by: a hash of its settings and weights."""
        return checkpoint.identity(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def header(self, codebooks: int | None = None) -> TokenHeader:
        """The facts that tokens of this tokenizer share."""
        specs = self.model.codebook_specs[:self.checked(codebooks)]
        return TokenHeader(self.identity, self.name, self.model.signal.rate, self.model.signal.leads, specs)

    def checked(self, codebooks: int | None) -> int:
        most = len(self.model.codebook_specs)
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
        streams = self.header(codebooks).codebooks
        most = min(batch_size, CACHED) if self.device.type == "cpu" else batch_size
        sources, waiting = [], {}
        with crew(self.device) as submit:
            for place, record in enumerate(records):
                source = Source(record, self.model, missing, streams)
                try:
                    for piece in source.pieces:
                        alike = waiting.setdefault(piece.signal.shape[-1], [])
                        alike.append((source, piece))
                        if len(alike) == most or not piece.whole:
                            submit(self.fill, waiting.pop(piece.signal.shape[-1]))
                except (ValueError, OSError) as error:
                    if unusable is None:
                        raise
                    unusable(place, error)
                    continue
                sources.append(source)
            for alike in waiting.values():
                submit(self.fill, alike)
        return [source.tokens() for source in sources]

    def fill(self, pieces: Sequence[tuple["Source", "Piece"]]) -> None:
        """Give sources the codes of some of their pieces, all of one length."""
        streams = self.codes(np.stack([piece.signal for _, piece in pieces]), len(pieces[0][0].codebooks))
        for (source, piece), *codes in zip(pieces, *streams, strict=True):
            source.put(piece, codes)

    @torch.inference_mode()
    def codes(self, signals: np.ndarray, codebooks: int) -> tuple[np.ndarray, ...]:
        """(b, c, t) mV to (b, n) codes of every stream."""
        x = torch.from_numpy(signals).to(self.device)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):    # ten bits would flip nearest codes
            return tuple(codes.cpu().numpy() for codes in self.model.tokenize(x, codebooks))

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
            every[:, part] = self.model.signal.expansion @ (np.rint(signal[:, part].astype(np.float64) / STEP_MV) * STEP_MV)
        return every

    def decode_coded(self, codes: Sequence[np.ndarray], samples: int) -> np.ndarray:
        """The coded leads (c, t), pieced together where they are long."""
        total_hop, halo = self.model.total_hop, whole(self.model.context[1], self.model.total_hop)
        streams = [(torch.from_numpy(row.astype(np.int64)), spec.hop)
                   for row, spec in zip(codes, self.model.codebook_specs, strict=False)]
        signal = np.empty((len(self.model.signal.coded), samples), np.float32)

        @torch.inference_mode()
        def decode(start: int, stop: int) -> None:
            before, after = max(0, start - halo), min(samples, stop + halo)
            part = [row[None, before // hop:-(-after // hop)].to(self.device) for row, hop in streams]
            made = self.model.detokenize(part, after - before)[0]
            signal[:, start:stop] = made[:, start - before:stop - before].cpu()

        size = PIECE // total_hop * total_hop
        with crew(self.device) as submit:
            for start in range(0, samples, size):
                submit(decode, start, min(samples, start + size))
        return signal


def whole(samples: int, total_hop: int) -> int:
    """Samples, up to a multiple of the total_hop."""
    return -(-samples // total_hop) * total_hop


@contextmanager
def crew(device: torch.device) -> Iterator[Callable[..., None]]:
    """Gives a function that has calls done by and by, and by several threads on a CPU; at the end all are done.

    A thread for each call is faster than all threads in every operation, leaves reading to go on beside, and gives
    the same bits whatever the length, which matrix products that several threads share do not.
    """
    threads = torch.get_num_threads()
    torch.empty(KEPT)
    if device.type != "cpu" or threads == 1:
        yield lambda work, *arguments: work(*arguments)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            pending: deque[Future] = deque()

            def submit(work: Callable, *arguments) -> None:
                pending.append(pool.submit(work, *arguments))
                while len(pending) > 2 * threads:       # what waits takes memory
                    pending.popleft().result()

            yield submit
            for future in pending:
                future.result()
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Piece:
    """Part of a signal with overlap: the samples from start to stop are its own."""

    signal: np.ndarray
    start: int
    stop: int
    place: int       # where in the whole signal the sample at `start` is
    whole: bool      # it is all there is


class Source:
    """A record on its way to tokens: its conformed signal in pieces, and what is noted on the way."""

    def __init__(self, record: Record | RecordFile, model: Autoencoder, missing: str, streams: Sequence[CodebookSpec]):
        self.record, self.model, self.codebooks, self.samples, self.notes = record, model, streams, 0, ()
        size = PIECE // model.total_hop * model.total_hop
        self.pieces = pieces(self.blocks(missing), size, whole(model.context[0], model.total_hop))
        length = ratio(record.rate, model.signal.rate).length(record.samples)
        self.codes = tuple(np.empty(stream.length(length), np.int64) for stream in streams)

    def put(self, piece: "Piece", codes: Sequence[np.ndarray]) -> None:
        """Keep a piece's codes, (n,) of every stream with the overlap, at their place."""
        for stream, made, every in zip(self.codebooks, codes, self.codes, strict=True):
            own = made[piece.start // stream.hop:stream.length(piece.stop)]
            first = piece.place // stream.hop
            every[first:first + len(own)] = own

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
    signal, before, place, whole = None, 0, 0, True     # `before` of what is still needed lies before the next piece
    for block in blocks:
        signal = block if signal is None else np.concatenate([signal, block], axis=1)
        while signal.shape[1] > before + size + halo:
            whole = False
            yield Piece(signal[:, :before + size + halo], before, before + size, place, whole)
            cut = max(0, before + size - halo)
            signal, before, place = signal[:, cut:], before + size - cut, place + size
    yield Piece(signal, before, signal.shape[1], place, whole)
