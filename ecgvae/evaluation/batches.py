"""Records of a store in batches for a model, and their reconstructions by a model of any family."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.data.store import Store
from ecgvae.decoding import STEP_MV
from ecgvae.models import Autoencoder, QuantizedAutoencoder
from ecgvae.signal import Record, conform, ratio, resample

MAX_BATCH_SAMPLES = 1 << 18      # per lead (44 minutes at 100 Hz); a single record may have more


@dataclass(frozen=True, eq=False)
class RecordBatch:
    """Records of one length: their rows in the store, and their coded leads (b, c, t) in mV at the model's rate."""

    rows: np.ndarray
    records: list[Record]
    x: Tensor


def split_rows(store: Store, split: str) -> np.ndarray:
    """The rows of a split; ValueError if there are none."""
    rows = store.split(split)
    if len(rows) == 0:
        raise ValueError(f"{store.path} has no records in its {split} split")
    return rows


def batches(model: Autoencoder, store: Store, rows: np.ndarray, size: int = 64) -> Iterator[RecordBatch]:
    """Whole records in batches of equal length, on the model's device, from the shortest to the longest.

    Args:
        model: The model whose leads, rate and device the batches have.
        store: The records.
        rows: The rows to use.
        size: Largest number of records in a batch; batches of long records are smaller.
    """
    device, lengths = model.expansion.device, store.spans[rows, 1]
    for length in np.unique(lengths):
        group = rows[lengths == length]
        count = min(size, max(1, MAX_BATCH_SAMPLES // ratio(store.rate, model.signal.rate).length(int(length))))
        for start in range(0, len(group), count):
            records = [store.record(row) for row in group[start:start + count]]
            x = np.stack([conform(record, model.signal).signal for record in records])
            yield RecordBatch(group[start:start + count], records, torch.from_numpy(x).to(device))


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference without TensorFloat-32, whose 10-bit mantissa can change which code is nearest."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def reconstruct(model: Autoencoder, x: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
    """Reconstructs coded leads at the model's highest rate: with all codebooks, or from the continuous latent."""
    with full_precision():
        if isinstance(model, QuantizedAutoencoder):
            return model.detokenize(model.tokenize(x), x.shape[-1])
        *_, reconstruction = model.reconstructions(x)
        return reconstruction


def to_all_leads(model: Autoencoder, coded: Float[Tensor, "c t"], record: Record) -> np.ndarray:
    """All leads (leads, t) from coded ones, at the record's rate and length, rounded as in `Tokenizer.decode`."""
    signal = coded.float().cpu().numpy()
    if record.rate != model.signal.rate:
        signal = resample(signal, model.signal.rate, record.rate)[:, :record.samples]
    return (model.signal.expansion @ (np.rint(signal.astype(np.float64) / STEP_MV) * STEP_MV)).astype(np.float32)


def reconstruct_record(model: Autoencoder, record: Record) -> Record:
    """A model's reconstruction of a record, with all leads of the model at the record's rate.

    The whole record passes through the model at once, so it must fit into memory.
    """
    x = torch.from_numpy(conform(record, model.signal).signal[None]).to(model.expansion.device)
    signal = to_all_leads(model, reconstruct(model, x)[0], record)
    return Record(signal, record.rate, model.signal.leads, record.name, record.comments)
