"""What a checkpoint knows of its training data: fingerprints of the records, and their amplitudes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ecgvae.data.fingerprints import SEGMENT_SECONDS, TrainingRecords, fingerprints
from ecgvae.data.store import Store
from ecgvae.signal import Record, RecordFile, SignalSpec, conform_stream
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes

COMPARED_SECONDS = 2 * SEGMENT_SECONDS + 1  # at the start of a record; the last second is for resampling


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Facts about the records that a model was trained on.

    Attributes:
        amplitudes: The range of their amplitudes.
        fingerprints: The fingerprints of their segments, (n, 32) uint8.
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


def is_training_record(record: Record | RecordFile, signal: SignalSpec, known: TrainingRecords, shifted: bool = True,
                       lead_map: Mapping[str, str] | None = None) -> bool:
    """Whether a model with this signal was trained on a record; see `TrainingRecords.include`."""
    start = record.read(0, round(COMPARED_SECONDS * record.rate))
    (block,) = conformed_blocks(start, signal, lead_map)
    return known.include(block, signal.rate, shifted)


def conformed_blocks(record: Record, signal: SignalSpec, lead_map: Mapping[str, str] | None = None
                     ) -> list[np.ndarray]:
    """The coded leads (c, t) of a record in mV; a lead that it lacks is 0 mV."""
    return [block.signal for block in conform_stream(record, signal, "zero", lead_map=lead_map)]
