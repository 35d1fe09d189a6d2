"""Tokens to the signal of a record, block by block."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecgvae.data.tokens import Tokens
from ecgvae.legacy import leads_set_to_zero
from ecgvae.models import QuantizedAutoencoder
from ecgvae.signal import Record, SignalSpec, fit_leads, ratio, resample
from ecgvae.tokenizer.chunks import round_up, split_chunks
from ecgvae.tokenizer.threads import thread_pool
from ecgvae.wording import plain

STEP_MV = 0.002             # coded leads are even microvolts, so (I + II) / 2 is whole: WFDB files obey Einthoven's law
BLOCK_CHUNKS = 8            # that are decoded before their samples are written
RESAMPLED_SAMPLES = 1 << 18             # of a block at the rate of the source
MATRIX_SAMPLES = 1 << 14                # of a block in float64
DECODED = "ecgvae: decoded by"          # begins the comment of every decoded record


@dataclass(frozen=True, eq=False)
class RecordDecoder:
    """The decoding of one record's tokens.

    Attributes:
        facts: The decoded record without its samples.
        tokens: The tokens.
        model: The model that decodes them.
        chunk_samples: Samples that go through the model at once, without the overlap.
    """

    facts: Record
    tokens: Tokens
    model: QuantizedAutoencoder
    chunk_samples: int

    def blocks(self) -> Iterator[np.ndarray]:
        """The signal (leads, t) in mV, in blocks of bounded size."""
        tokens, signal = self.tokens, self.model.signal
        blocks = coded_blocks(self.model, tokens.codes, tokens.samples, self.chunk_samples)
        if self.facts.rate != signal.rate:
            blocks = resampled_blocks(blocks, signal.rate, self.facts.rate, tokens.source_samples)
        for block in blocks:
            yield expand_leads(signal, block, self.facts.leads)

    def record(self) -> Record:
        """The decoded record in memory."""
        blocks = list(self.blocks())
        signal = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return Record(**vars(self.facts) | {"signal": signal})


def open_decoder(model: QuantizedAutoencoder, tokens: Tokens, decoded_by: str, chunk_samples: int,
                 original: bool, all_leads: bool) -> RecordDecoder:
    """Prepares the decoding of tokens that fit the model's codebooks.

    Args:
        model: The model.
        tokens: The tokens.
        decoded_by: A comment for the record, which says which model decoded it.
        chunk_samples: Samples that go through the model at once.
        original: Whether the record has the rate and length of its source, else the model's rate.
        all_leads: Whether it has leads that neither were in the source nor follow from those that were.

    Raises:
        ValueError: The source's rate is impossible, or there are no leads to decode.
    """
    signal = model.signal
    absent = absent_leads(signal, tokens)
    leads = signal.leads if all_leads else tuple(lead for lead in signal.leads if lead not in absent)
    if not leads:
        raise ValueError(f"{plain(tokens.name)} had none of the leads {', '.join(signal.leads)}; "
                         "only invented ones are left")
    rate = tokens.source_rate if original else signal.rate
    ratio(signal.rate, rate)        # before any work: an impossible rate is an error
    facts = Record(np.empty((len(leads), 0), np.float32), rate, leads, tokens.name, (*tokens.comments, decoded_by),
                   start_time=tokens.start_time, invented_leads=absent if all_leads else ())
    return RecordDecoder(facts, tokens, model, chunk_samples)


def absent_leads(signal: SignalSpec, tokens: Tokens) -> tuple[str, ...]:
    """The leads of a model that the source of tokens did not have and that do not follow from those it had.

    A coded lead that does not follow from the source's leads was encoded as 0 mV; what is decoded from it is invented.
    """
    if tokens.source_leads is None:
        zeroed: Sequence[str] = leads_set_to_zero(tokens.notes)
    else:
        _, zeroed = fit_leads(tuple(tokens.source_leads), signal.coded)
    _, absent = fit_leads(tuple(lead for lead in signal.coded if lead not in zeroed), signal.leads)
    return absent


def coded_blocks(model: QuantizedAutoencoder, codes: Sequence[np.ndarray], samples: int, chunk_samples: int
                 ) -> Iterator[np.ndarray]:
    """The coded leads (c, t) in mV, in blocks; long codes are decoded in overlapping chunks."""
    device, total_hop = model.expansion.device, model.total_hop
    halo = round_up(model.context[1], total_hop)
    rows = [(row, spec.hop) for row, spec in zip(codes, model.codebook_specs, strict=False)]

    @torch.inference_mode()
    def decode_chunk(signal: np.ndarray, start: int, stop: int) -> None:
        first, last = max(0, start - halo), min(samples, stop + halo)
        parts = [row[None, first // hop:-(-last // hop)].astype(np.int64) for row, hop in rows]
        chunk = [torch.from_numpy(part).to(device) for part in parts]
        signal[:] = model.detokenize(chunk, last - first)[0, :, start - first:stop - first].cpu()

    size = chunk_samples // total_hop * total_hop
    for begin in range(0, max(samples, 1), BLOCK_CHUNKS * size):
        end = min(samples, begin + BLOCK_CHUNKS * size)
        block = np.empty((len(model.signal.coded), end - begin), np.float32)
        with thread_pool(device) as submit:
            for start in range(begin, end, size):
                stop = min(end, start + size)
                submit(decode_chunk, block[:, start - begin:stop - begin], start, stop)
        yield block


def resampled_blocks(blocks: Iterable[np.ndarray], rate_in: float, rate_out: float, samples: int
                     ) -> Iterator[np.ndarray]:
    """A signal at another rate, up to a number of samples; the blocks end to end equal `resample` of the whole."""
    factors = ratio(rate_in, rate_out)
    size = max(1, RESAMPLED_SAMPLES // factors.up) * factors.down
    for chunk in split_chunks(blocks, size, round_up(factors.halo, factors.down)):
        position, stop = factors.length(chunk.position), factors.length(chunk.position + chunk.stop - chunk.start)
        first = factors.length(chunk.start)
        signal = resample(chunk.signal, rate_in, rate_out)[:, first:first + min(stop, samples) - position]
        if signal.size or chunk.is_whole_record:
            yield signal
        if stop >= samples:
            return


def expand_leads(signal: SignalSpec, coded: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """Leads (leads, t) from the coded ones (c, t), which are first rounded to even microvolts."""
    matrix = signal.expansion[[signal.leads.index(lead) for lead in leads]]
    expanded = np.empty((len(leads), coded.shape[1]), np.float32)
    for start in range(0, coded.shape[1], MATRIX_SAMPLES):
        block = slice(start, start + MATRIX_SAMPLES)
        expanded[:, block] = matrix @ (np.rint(coded[:, block].astype(np.float64) / STEP_MV) * STEP_MV)
    return expanded
