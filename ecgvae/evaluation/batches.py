"""A store's records as a model takes them, and as they come back, whatever its family."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.store import Store
from ecgvae.models import Autoencoder
from ecgvae.signal import Record, conform, ratio, resample
from ecgvae.tokenizer import STEP_MV

MOST = 1 << 18      # samples of a lead in a batch (44 minutes at 100 Hz), unless one record has more


@dataclass(frozen=True, eq=False)
class Batch:
    """Records of one length: rows of the store, and their coded leads (b, c, t) in mV at the model's rate."""

    rows: np.ndarray
    records: list[Record]
    x: Tensor


def split_rows(store: Store, split: str) -> np.ndarray:
    """The rows of a split, of which there must be some."""
    rows = store.split(split)
    if len(rows) == 0:
        raise ValueError(f"{store.path} has no records in its {split} split")
    return rows


def batches(model: Autoencoder, store: Store, rows: np.ndarray, size: int = 64) -> Iterator[Batch]:
    """The rows, those of equal length together, whole and on the model's device."""
    device, lengths = model.expansion.device, store.spans[rows, 1]
    for length in np.unique(lengths):
        group = rows[lengths == length]
        count = min(size, max(1, MOST // ratio(store.rate, model.signal.rate).length(int(length))))
        for start in range(0, len(group), count):
            records = [store.record(row) for row in group[start:start + count]]
            x = np.stack([conform(record, model.signal).signal for record in records])
            yield Batch(group[start:start + count], records, torch.from_numpy(x).to(device))


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in full precision: with ten bits the nearest codes would flip."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def reconstruct(model: Autoencoder, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """What comes back with all that the model can tell."""
    with full_precision():
        if model.codebook_specs:
            return model.detokenize(model.tokenize(x), x.shape[-1])
        *_, made = model.reconstructions(x)
        return made


def every_lead(model: Autoencoder, coded: Float[Tensor, "c t"], record: Record) -> np.ndarray:
    """All leads (l, t) from coded ones, at the record's rate and length, rounded as `Tokenizer.decode` rounds."""
    signal = coded.float().cpu().numpy()
    if record.rate != model.signal.rate:
        signal = resample(signal, model.signal.rate, record.rate)[:, :record.samples]
    return (model.signal.expansion @ (np.rint(signal.astype(np.float64) / STEP_MV) * STEP_MV)).astype(np.float32)


def restore(model: Autoencoder, record: Record) -> Record:
    """A record as it comes back from a model; it must fit into memory."""
    x = torch.from_numpy(conform(record, model.signal).signal[None]).to(model.expansion.device)
    signal = every_lead(model, reconstruct(model, x)[0], record)
    return Record(signal, record.rate, model.signal.leads, record.name, record.comments)
