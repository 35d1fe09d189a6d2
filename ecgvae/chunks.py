"""Long records in overlapping chunks: cutting them, collecting their codes, and threads to work on them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.tokens import Tokens
from ecgvae.models import QuantizedAutoencoder
from ecgvae.signal import Missing, Record, RecordFile, check_finite, conform_stream, ratio, recorded_leads
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes

WARMUP_FLOATS = 31 << 18    # once a block of 31 MiB was freed, glibc reuses freed blocks of that size, see mallopt(3)


def round_up(samples: int, multiple: int) -> int:
    """The smallest multiple that is not below a number of samples."""
    return -(-samples // multiple) * multiple


@contextmanager
def thread_pool(device: torch.device) -> Iterator[Callable[..., None]]:
    """Yields a function that runs calls in the background, in several threads on a CPU; all are done at the end.

    One thread for each call is faster than all threads in every operation, lets reading go on meanwhile, and gives
    the same bits at any length, which matrix products shared by several threads do not.
    """
    threads = torch.get_num_threads()
    torch.empty(WARMUP_FLOATS)
    if device.type != "cpu" or threads == 1:
        yield lambda function, *arguments: function(*arguments)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            pending: deque[Future] = deque()

            def submit(function: Callable, *arguments) -> None:
                pending.append(pool.submit(function, *arguments))
                while len(pending) > 2 * threads:       # waiting calls take memory
                    pending.popleft().result()

            yield submit
            for future in pending:
                future.result()
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Chunk:
    """A chunk of a signal with overlap; its own samples are those from start to stop."""

    signal: np.ndarray
    start: int
    stop: int
    position: int           # in the whole signal, of the sample at `start`
    is_whole_record: bool


@dataclass(frozen=True)
class EncodeOptions:
    """How records are encoded.

    Attributes:
        missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
        lead_map: Leads by channel name, for channels that are not named after their leads.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
    """

    missing: Missing = "error"
    lead_map: Mapping[str, str] | None = None
    any_amplitude: bool = False


class RecordEncoder:
    """The encoding of one record: its conformed signal in chunks, the codes so far, and notes of repairs.

    The record is refused if its amplitudes cannot be those of an ECG in mV, unless `options.any_amplitude` is set.
    """

    def __init__(self, record: Record | RecordFile, model: QuantizedAutoencoder, amplitudes: Amplitudes | None,
                 codebooks: Sequence[CodebookSpec], options: EncodeOptions, chunk_samples: int):
        self.record, self.model, self.codebooks, self.options = record, model, codebooks, options
        self.samples = 0
        self.notes: tuple[str, ...] = ()
        size = chunk_samples // model.total_hop * model.total_hop
        self.chunks = split_chunks(self.blocks(amplitudes), size, round_up(model.context[0], model.total_hop))
        length = ratio(record.rate, model.signal.rate).length(record.samples)
        self.codes = tuple(np.empty(spec.length(length), np.int64) for spec in codebooks)

    def store_codes(self, chunk: Chunk, codes: Sequence[np.ndarray]) -> None:
        """Stores a chunk's codes, (n,) of every codebook with the overlap, at their position."""
        for spec, row, all_codes in zip(self.codebooks, codes, self.codes, strict=True):
            chunk_codes = row[chunk.start // spec.hop:spec.length(chunk.stop)]
            first = chunk.position // spec.hop
            all_codes[first:first + len(chunk_codes)] = chunk_codes

    def blocks(self, amplitudes: Amplitudes | None) -> Iterator[np.ndarray]:
        """The signal as the model wants it, block by block; the notes of repairs are kept."""
        record, signal, options = self.record, self.model.signal, self.options
        if isinstance(record, Record):
            check_finite(record.signal, record.name)
        meter = AmplitudeMeter(signal.rate)
        for block in conform_stream(record, signal, options.missing, lead_map=options.lead_map):
            self.samples += block.signal.shape[1]
            self.notes = block.notes
            meter.add(block.signal)
            yield block.signal
        if amplitudes:
            if not options.any_amplitude:
                amplitudes.check(meter, record.name)
            self.notes += amplitudes.notes(meter, signal.coded)

    def tokens(self) -> Tokens:
        """The tokens of the record, when all of its chunks are encoded."""
        record = self.record
        source_leads = recorded_leads(record, self.model.signal.leads, self.options.lead_map)
        return Tokens(self.codes, self.samples, record.name, record.rate, record.samples, comments=record.comments,
                      notes=self.notes, start_time=record.start_time, source_leads=source_leads)


def split_chunks(blocks: Iterable[np.ndarray], size: int, halo: int) -> Iterator[Chunk]:
    """Cuts a signal that arrives in blocks into chunks of `size` samples with up to `halo` more on either side.

    Only the last one may be shorter, or longer by the halo.
    """
    signal, before, position, is_whole = None, 0, 0, True       # `before` samples of overlap precede the next chunk
    for block in blocks:
        signal = block if signal is None else np.concatenate([signal, block], axis=1)
        while signal.shape[1] > before + size + halo:
            is_whole = False
            yield Chunk(signal[:, :before + size + halo], before, before + size, position, is_whole)
            cut = max(0, before + size - halo)
            signal, before, position = signal[:, cut:], before + size - cut, position + size
    assert signal is not None, "a record without samples"
    yield Chunk(signal, before, signal.shape[1], position, is_whole)
