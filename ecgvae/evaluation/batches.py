"""Records of a store in batches for a model, long records in pieces, and reconstructions by a model of any family."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.store import Store
from ecgvae.evaluation.pieces import Piece, conform_piece, read_piece, split_pieces
from ecgvae.models import Autoencoder
from ecgvae.signal import Record, conform, ratio, resample
from ecgvae.tokenizer.decoding import expand_leads
from ecgvae.tokenizer.threads import thread_pool

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_BATCH_SAMPLES = 1 << 18      # per lead (44 minutes at 100 Hz); a single piece may have more


@dataclass(frozen=True, eq=False)
class RecordBatch:
    """Pieces of equal length: their rows in the store, and their coded leads (b, c, t) in mV at the model's rate.

    Most records are one piece. Longer ones have several, which overlap by what the model needs around them.
    """

    rows: np.ndarray
    pieces: list[Piece]
    records: list[Record]
    x: Tensor


def split_rows(store: Store, split: str) -> np.ndarray:
    """The rows of a split; ValueError if there are none."""
    rows = store.split(split)
    if len(rows) == 0:
        raise ValueError(f"{store.path} has no records in its {split} split")
    return rows


def batches(model: Autoencoder, store: Store, rows: np.ndarray, size: int = 64,
            max_samples: int | None = None) -> Iterator[RecordBatch]:
    """Records in batches of equal length, on the model's device, from the shortest to the longest.

    Args:
        model: The model whose leads, rate and device the batches have.
        store: The records.
        rows: The rows to use.
        size: Largest number of records in a batch; batches of long records are smaller.
        max_samples: Largest number of samples per lead in a batch of several pieces.
    """
    lengths, limit = store.spans[rows, 1], max_samples or MAX_BATCH_SAMPLES
    for length in np.unique(lengths):
        group, pieces = rows[lengths == length].tolist(), split_pieces(int(length), store.rate, model)
        if len(pieces) == 1:
            alike = [[(row, pieces[0]) for row in group]]
        else:       # record by record
            alike = [[(row, piece) for piece in run] for row in group for _, run in groupby(pieces, key=len)]
        for items in alike:
            count = min(size, max(1, limit // ratio(store.rate, model.signal.rate).length(len(items[0][1]))))
            for start in range(0, len(items), count):
                yield read_batch(model, store, items[start:start + count])


def read_batch(model: Autoencoder, store: Store, pieces: list[tuple[int, Piece]]) -> RecordBatch:
    """Reads pieces of equal length, each given with its row."""
    records = [read_piece(store, row, piece) for row, piece in pieces]
    x = np.stack([conform_piece(store, row, record, model.signal)
                  for (row, _), record in zip(pieces, records, strict=True)])
    return RecordBatch(np.array([row for row, _ in pieces]), [piece for _, piece in pieces], records,
                       torch.from_numpy(x).to(model.expansion.device))


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference without TensorFloat-32, whose 10-bit mantissa can change which code is nearest."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def in_background(function: Callable[[Item], Result], items: Iterable[Item],
                  device: torch.device) -> Iterator[tuple[Item, Result]]:
    """Each item with the result of a function of it, in order; on a CPU several threads compute ahead."""
    done: dict[int, tuple[Item, Result]] = {}
    position = 0

    def call(index: int, item: Item) -> None:
        with torch.inference_mode():
            done[index] = item, function(item)

    with thread_pool(device) as submit:
        for index, item in enumerate(items):
            submit(call, index, item)
            while position in done:
                yield done.pop(position)
                position += 1
    for index in range(position, position + len(done)):
        yield done.pop(index)


def reconstruct(model: Autoencoder, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """Reconstructs coded leads at the model's highest rate: with all codebooks, or from the continuous latent."""
    with full_precision():
        return model.reconstruct(x)


def to_all_leads(model: Autoencoder, coded: Float[Tensor, "c t"], rate: float, samples: int) -> np.ndarray:
    """All leads (leads, t) from coded ones, at a rate in Hz and of a length, rounded as in `Tokenizer.decode`."""
    signal = coded.float().cpu().numpy()
    if rate != model.signal.rate:
        signal = resample(signal, model.signal.rate, rate)[:, :samples]
    return expand_leads(model.signal, signal, model.signal.leads)


def reconstruct_record(model: Autoencoder, record: Record) -> Record:
    """A model's reconstruction of a record, with all leads of the model at the record's rate."""
    signal = np.empty((len(model.signal.leads), record.samples), np.float32)
    for piece in split_pieces(record.samples, record.rate, model):
        window = record.read(piece.first, piece.last)
        x = torch.from_numpy(conform(window, model.signal).signal[None]).to(model.expansion.device)
        leads = to_all_leads(model, reconstruct(model, x)[0], record.rate, window.samples)
        signal[:, piece.start:piece.stop] = leads[:, piece.inside]
    return Record(signal, record.rate, model.signal.leads, record.name, record.comments)
