"""The signal of a record to tokens, chunk by chunk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecgvae.codebooks import CodebookSpec
from ecgvae.data.tokens import Tokens
from ecgvae.models import QuantizedAutoencoder
from ecgvae.signal import Missing, Record, RecordFile, check_finite, conform_stream, ratio, recorded_leads
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes
from ecgvae.tokenizer.chunks import Chunk, round_up, split_chunks


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
