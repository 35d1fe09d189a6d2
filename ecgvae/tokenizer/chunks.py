"""Long signals in overlapping chunks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


def round_up(samples: int, multiple: int) -> int:
    """The smallest multiple that is not below a number of samples."""
    return -(-samples // multiple) * multiple


@dataclass(frozen=True)
class Chunk:
    """A chunk of a signal with overlap; its own samples are those from start to stop."""

    signal: np.ndarray
    start: int
    stop: int
    position: int           # in the whole signal, of the sample at `start`
    is_whole_record: bool


def split_chunks(blocks: Iterable[np.ndarray], size: int, halo: int) -> Iterator[Chunk]:
    """Cuts a signal that arrives in blocks into chunks of `size` samples with up to `halo` more on either side.

    Only the last one may be shorter, or longer by the halo.
    """
    signal, before, position, is_whole = None, 0, 0, True       # `before` samples of overlap precede the next chunk
    for block in blocks:
        signal = block if signal is None else np.concatenate([signal, block], axis=1)
        while signal.shape[1] > before + size + halo:
            is_whole = False
            yield Chunk(signal[:, :before + size + halo], before, before + size, position, is_whole)
            cut = max(0, before + size - halo)
            signal, before, position = signal[:, cut:], before + size - cut, position + size
    assert signal is not None, "a record without samples"
    yield Chunk(signal, before, signal.shape[1], position, is_whole)
