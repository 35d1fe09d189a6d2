"""Fingerprints of ECGs, by which a model recognizes the records that it was trained on, in any store and at any rate.

A fingerprint is a SimHash (Charikar 2002): the signs of random projections. The fingerprints of similar signals differ
in few bits, so that another resampling of the same ECG has nearly the same one.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

SEGMENT_SECONDS = 5  # each segment of a training record has a fingerprint
FRAMES = 125  # of a segment; the slopes between their means are projected, which baseline wander hardly changes
BITS = 256
SEED = 2026
FRAME_SECONDS = SEGMENT_SECONDS / FRAMES
SHIFTS_A_FRAME = 4  # at which a segment is searched in a record
# Between fingerprints of the same ECG; two ECGs differ in 128 bits on average. Of all shifted parts of 138 records of
# PTB-XL, the nearest to 2,010 other records differed in 23 bits, so with more records a part may come nearer by chance.
MAX_DIFFERENT_BITS = 20
MAX_DIFFERENT_BITS_SHIFTED = 8
MAX_DIFFERENT_FIRST_BITS = 14  # of the first 64, which are compared first
COMPARED_AT_ONCE = 64  # which bounds memory


def fingerprints(blocks: Iterable[np.ndarray], rate: float) -> np.ndarray:
    """The fingerprints of the segments of a record, (n, 32) uint8; none for flat segments.

    A record shorter than a segment has one; the end of a longer one, after its last whole segment, has none.

    Args:
        blocks: The coded leads (c, t), block by block.
        rate: Sampling rate in Hz.
    """
    hashes = [hash_slopes(frame_slopes(segment, rate)) for segment in segments(blocks, round(SEGMENT_SECONDS * rate))]
    return np.concatenate(hashes) if hashes else np.zeros((0, BITS // 8), np.uint8)


def shifted_fingerprints(signal: np.ndarray, rate: float) -> np.ndarray:
    """The fingerprints of parts of a record, (n, 32) uint8, among which are those of its segments in another cut.

    The parts are as long as segments, and begin every 10 ms in the first 5 s. So a record of 10 s or more has a whole
    segment of the record that it was cut from among them.

    Args:
        signal: The first 10 s of the coded leads (c, t) of the record.
        rate: Sampling rate in Hz.
    """
    count = SHIFTS_A_FRAME if signal.shape[1] > SEGMENT_SECONDS * rate else 1
    return np.concatenate([hash_slopes(frame_slopes(signal, rate, index * FRAME_SECONDS / SHIFTS_A_FRAME))
                           for index in range(count)])


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


def frame_slopes(signal: np.ndarray, rate: float, start: float = 0.0) -> np.ndarray:
    """The differences between the means of neighbouring frames of a signal (c, t), from `start` seconds on: (c, m)."""
    seconds = signal.shape[1] / rate - start
    begins = np.arange(int(seconds / FRAME_SECONDS + 1e-6) + 1) * FRAME_SECONDS
    edges = np.minimum(np.rint((start + begins) * rate).astype(int), signal.shape[1])
    sums = np.pad(np.cumsum(signal, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    means = np.diff(sums[:, edges], axis=1) / np.maximum(np.diff(edges), 1)
    return np.diff(means, axis=1).astype(np.float32)


def hash_slopes(slopes: np.ndarray) -> np.ndarray:
    """The fingerprints of all parts of slopes (c, m) that are as long as a segment, without flat ones: (n, 32) uint8.

    Fewer slopes are continued with zeros.
    """
    length = FRAMES - 1
    padded = np.pad(slopes, ((0, 0), (0, max(0, length - slopes.shape[1]))))
    parts = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)        # (c, n, length)
    vectors = parts.transpose(1, 0, 2).reshape(parts.shape[1], -1)
    return np.packbits(vectors[vectors.any(axis=1)] @ random_signs(vectors.shape[1]) > 0, axis=1)


@lru_cache(maxsize=4)
def random_signs(dimensions: int) -> np.ndarray:
    """A fixed matrix (dimensions, bits) of random signs."""
    words = np.random.PCG64(SEED).random_raw(dimensions * BITS // 64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8)).reshape(dimensions, BITS)
    return bits.astype(np.float32) * 2 - 1


class TrainingRecords:
    """The fingerprints of the records that a model was trained on.

    Args:
        fingerprints: Those of all segments of all records, (n, 32) uint8.
    """

    def __init__(self, fingerprints: np.ndarray):
        self.fingerprints = np.ascontiguousarray(fingerprints)
        self._words = self.fingerprints.view(np.uint64)
        self._first_words = np.ascontiguousarray(self._words[:, 0])

    def include(self, signal: np.ndarray, rate: float, shifted: bool = True) -> bool:
        """Whether a record was among them.

        Args:
            signal: Its first coded leads (c, t) in mV, of which 10 s are used. Records of less than 5 s are recognized
                only if they were as short in training.
            rate: Sampling rate in Hz.
            shifted: Whether parts of the training records are recognized too that begin elsewhere than at segments.
        """
        first = signal[:, :round(2 * SEGMENT_SECONDS * rate)]
        return (self._have(fingerprints([first], rate), MAX_DIFFERENT_BITS)
                or (shifted and self._have(shifted_fingerprints(first, rate), MAX_DIFFERENT_BITS_SHIFTED)))

    def _have(self, hashes: np.ndarray, max_different_bits: int) -> bool:
        """Whether a fingerprint is known that differs in few bits from one of these (n, 32)."""
        words = np.ascontiguousarray(hashes).view(np.uint64)
        for start in range(0, len(words), COMPARED_AT_ONCE):
            part = words[start:start + COMPARED_AT_ONCE]
            is_similar = np.bitwise_count(part[:, :1] ^ self._first_words) <= MAX_DIFFERENT_FIRST_BITS
            here, known = np.nonzero(is_similar)
            different = np.bitwise_count(part[here] ^ self._words[known]).sum(axis=1)
            if (different <= max_different_bits).any():
                return True
        return False
