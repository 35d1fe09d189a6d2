"""What the tokens of a record are worth: the errors of the signal that is decoded from them."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch

from ecgvae.data.tokens import Tokens
from ecgvae.data.training_data import is_training_record
from ecgvae.metrics import Moments
from ecgvae.signal import MICROVOLTS_PER_MV, Record, RecordFile, conform_stream
from ecgvae.tokenizer.decoding import coded_blocks
from ecgvae.tokenizer.threads import thread_pool
from ecgvae.tokenizer.tokenizer import CHUNK_SAMPLES, CPU_BATCH, Tokenizer

SEEN_IN_TRAINING = "in the model's training data, so the errors are too low"  # a note


def verify(tokenizer: Tokenizer, records: Sequence[Record | RecordFile], tokens: Sequence[Tokens],
           lead_map: Mapping[str, str] | None = None, batch_size: int = 64) -> list[Tokens]:
    """Decodes tokens and compares the result with the records that they were made from.

    Args:
        tokenizer: The tokenizer.
        records: The records.
        tokens: The tokens of each record.
        lead_map: Leads by channel name, as for encoding.
        batch_size: Records that go through the model together.

    Returns:
        The tokens with `prdn` (%) and `rmse_uv` of each lead that the record has, at the model's sampling rate. Records
        that the model was trained on have the note `SEEN_IN_TRAINING`.
    """
    size = min(batch_size, CPU_BATCH) if tokenizer.device.type == "cpu" else batch_size
    verified = list(tokens)

    def verify_batch(indices: list[int]) -> None:
        for index, blocks in zip(indices, decode_batch(tokenizer, [tokens[index] for index in indices]), strict=True):
            item = with_errors(tokenizer, records[index], tokens[index], blocks, lead_map)
            if is_seen(tokenizer, records[index], lead_map):
                item = replace(item, notes=(*item.notes, SEEN_IN_TRAINING))
            verified[index] = item

    with thread_pool(tokenizer.device) as submit:
        for indices in batches_of_equal_length([item.samples for item in tokens], size):
            submit(verify_batch, indices)
    return verified


def is_seen(tokenizer: Tokenizer, record: Record | RecordFile, lead_map: Mapping[str, str] | None) -> bool:
    """Whether the tokenizer is known to be trained on a record."""
    known, signal = tokenizer.training_records, tokenizer.model.signal
    return known is not None and is_training_record(record, signal, known, shifted=False, lead_map=lead_map)


def batches_of_equal_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """The indices of the lengths, in batches of equal length; a length of more than a chunk is alone in its batch."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    for length, indices in by_length.items():
        count = size if length <= CHUNK_SAMPLES else 1
        yield from (indices[start:start + count] for start in range(0, len(indices), count))


@torch.inference_mode()
def decode_batch(tokenizer: Tokenizer, tokens: Sequence[Tokens]) -> Iterable[Iterable[np.ndarray]]:
    """The coded leads (c, t) in mV of tokens of equal length, each in blocks."""
    if len(tokens) == 1:
        return [coded_blocks(tokenizer.model, tokens[0].codes, tokens[0].samples, CHUNK_SAMPLES)]
    codes = [torch.from_numpy(np.stack(rows)).to(tokenizer.device)
             for rows in zip(*(item.codes for item in tokens), strict=True)]
    return [[signal] for signal in tokenizer.model.detokenize(codes, tokens[0].samples).cpu().numpy()]


def with_errors(tokenizer: Tokenizer, record: Record | RecordFile, tokens: Tokens, decoded: Iterable[np.ndarray],
                lead_map: Mapping[str, str] | None) -> Tokens:
    """Tokens with the errors of their decoded coded leads (c, t), which arrive in blocks."""
    signal = tokenizer.model.signal
    targets = (block.signal for block in conform_stream(record, signal, "zero", refit=False, lead_map=lead_map))
    moments = reduce(operator.add, (Moments.of(target, tokenizer.all_leads(coded))
                                    for target, coded in in_step(targets, decoded)))
    is_recorded = [tokens.source_leads is None or lead in tokens.source_leads for lead in signal.leads]

    def of_leads(errors: np.ndarray) -> tuple[float | None, ...]:
        return tuple(float(error) if present else None for error, present in zip(errors, is_recorded, strict=True))

    return replace(tokens, prdn=of_leads(moments.prdn()), rmse_uv=of_leads(moments.rmse() * MICROVOLTS_PER_MV))


def in_step(one: Iterable[np.ndarray], other: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The blocks (c, t) of two signals of equal length, cut so that they go in step."""
    blocks = iter(other)
    rest = next(blocks)
    for block in one:
        while block.shape[1]:
            if not rest.shape[1]:
                rest = next(blocks)
            length = min(block.shape[1], rest.shape[1])
            yield block[:, :length], rest[:, :length]
            block, rest = block[:, length:], rest[:, length:]
