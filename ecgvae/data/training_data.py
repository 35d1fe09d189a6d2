"""What a checkpoint knows of its training data: fingerprints of the records, and their amplitudes."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecgvae.data.fingerprints import fingerprints
from ecgvae.data.store import Store
from ecgvae.signal import Record, SignalSpec, conform_stream
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Facts about the records that a model was trained on.

    Attributes:
        amplitudes: The range of their amplitudes.
        fingerprints: The fingerprints of their segments, (n, 16) uint8.
    """

    amplitudes: Amplitudes
    fingerprints: np.ndarray


def measure_training_data(store: Store, rows: Iterable[int], signal: SignalSpec) -> TrainingData:
    """Measures the rows of a store on which a model with this signal is trained."""
    meters, hashes = [], []
    for row in rows:
        blocks = conformed_blocks(store.drop_absent(row, store.record(row)), signal)
        meters.append(AmplitudeMeter(signal.rate))
        for block in blocks:
            meters[-1].add(block)
        hashes.append(fingerprints(blocks, signal.rate))
    return TrainingData(Amplitudes.of(meters), np.concatenate(hashes))


def record_fingerprints(record: Record, signal: SignalSpec) -> np.ndarray:
    """The fingerprints (n, 16) of a record for a model with this signal."""
    return fingerprints(conformed_blocks(record, signal), signal.rate)


def conformed_blocks(record: Record, signal: SignalSpec) -> list[np.ndarray]:
    """The coded leads (c, t) of a record in mV; a lead that it lacks is 0 mV."""
    return [block.signal for block in conform_stream(record, signal, "zero")]
