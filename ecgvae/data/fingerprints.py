"""Fingerprints of ECGs, by which a model recognizes the records that it was trained on, in any store and at any rate.

A fingerprint is a SimHash (Charikar 2002): the signs of random projections. The fingerprints of similar signals differ
in few bits, so that another resampling of the same ECG has nearly the same one.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

SEGMENT_SECONDS = 10  # each segment of a record has a fingerprint
FRAMES = 250  # of a segment; the slopes between their means are projected, which baseline wander hardly changes
BITS = 128
SEED = 2026
MAX_DIFFERENT_BITS = 20  # between fingerprints of the same ECG; two ECGs differ in 64 on average
MAX_COMPARED_SEGMENTS = 32  # of a record


def fingerprints(blocks: Iterable[np.ndarray], rate: float) -> np.ndarray:
    """The fingerprints of the segments of a record, (n, 16) uint8; none for flat segments.

    A shorter record has one segment; the end of a longer one, after its last whole segment, has none.

    Args:
        blocks: The coded leads (c, t), block by block.
        rate: Sampling rate in Hz.
    """
    slopes = [frame_slopes(segment, rate) for segment in segments(blocks, round(SEGMENT_SECONDS * rate))]
    present = [slope for slope in slopes if slope.any()]
    if not present:
        return np.zeros((0, BITS // 8), np.uint8)
    stacked = np.stack(present)
    return np.packbits(stacked @ random_signs(stacked.shape[1]) > 0, axis=1)


def segments(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """Cuts a signal that arrives in blocks into segments; only a first one may be shorter."""
    rest, is_first = None, True
    for block in blocks:
        rest = block if rest is None else np.concatenate([rest, block], axis=1)
        while rest.shape[1] >= samples:
            yield rest[:, :samples]
            rest, is_first = rest[:, samples:], False
    if is_first and rest is not None:
        yield rest


def frame_slopes(segment: np.ndarray, rate: float) -> np.ndarray:
    """The differences between the means of neighbouring frames of a segment, of all leads; zero beyond its end."""
    edges = np.rint(np.arange(FRAMES + 1) * (SEGMENT_SECONDS * rate / FRAMES)).astype(int)
    edges = edges[edges <= segment.shape[1]]
    sums = np.pad(np.cumsum(segment, axis=1, dtype=np.float64), ((0, 0), (1, 0)))[:, edges]
    means = np.diff(sums, axis=1) / np.maximum(np.diff(edges), 1)
    slopes = np.zeros((len(segment), FRAMES - 1), np.float32)
    slopes[:, :max(0, means.shape[1] - 1)] = np.diff(means, axis=1)
    return slopes.ravel()


@lru_cache(maxsize=4)
def random_signs(dimensions: int) -> np.ndarray:
    """A fixed matrix (dimensions, bits) of random signs."""
    words = np.random.PCG64(SEED).random_raw(dimensions * BITS // 64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8)).reshape(dimensions, BITS)
    return bits.astype(np.float32) * 2 - 1


class TrainingRecords:
    """The fingerprints of the records that a model was trained on.

    Args:
        fingerprints: Those of all segments of all records, (n, 16) uint8.
    """

    def __init__(self, fingerprints: np.ndarray):
        self.fingerprints = np.ascontiguousarray(fingerprints)
        self._words = self.fingerprints.view(np.uint64)

    def __contains__(self, record: np.ndarray) -> bool:
        """Whether a record was among them, by the fingerprints (n, 16) of its segments, of which one must be known."""
        step = -(-len(record) // MAX_COMPARED_SEGMENTS) or 1
        return any(self._is_known(words) for words in np.ascontiguousarray(record[::step]).view(np.uint64))

    def _is_known(self, words: np.ndarray) -> bool:
        different = np.bitwise_count(self._words ^ words).sum(axis=1)
        return bool((different <= MAX_DIFFERENT_BITS).any())
