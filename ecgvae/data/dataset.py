"""Random windows of a store's records, all held in memory (or on the GPU) as int16."""

import numpy as np
import torch
from torch import Tensor

from ecgvae.data.store import MICROVOLTS, Store
from ecgvae.signal import fit, independent


class Windows:
    """Crops of `length` samples from the chosen rows of a store, in the coded leads.

    Rows shorter than a crop are filled up with zeros. A row's chance to be drawn grows with its length.
    """

    def __init__(self, store: Store, rows: np.ndarray, length: int, coded: tuple[str, ...] | None = None):
        if len(rows) == 0:
            raise ValueError(f"no records of {store.path} to draw windows from; wanted at least one")
        self.length = length
        self.coded = independent(store.leads) if coded is None else tuple(coded)
        self.rows = torch.as_tensor(np.asarray(rows, np.int64))
        lengths = np.maximum(store.spans[rows, 1], length)
        self.ends = torch.as_tensor(np.cumsum(lengths))
        self.lengths = torch.as_tensor(lengths)
        self.signals = torch.as_tensor(load(store, rows, lengths, self.coded))  # (total samples, coded leads)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> "Windows":
        self.signals = self.signals.to(device)
        return self

    def batch(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw (count, coded leads, length) float32 mV and the store's rows they come from.

        The generator is a CPU one, so that every device draws the same windows.
        """
        places = torch.randint(int(self.ends[-1]), (count,), generator=generator)
        picked = torch.searchsorted(self.ends, places, right=True)
        room = self.lengths[picked] - self.length + 1
        shift = (torch.rand(count, generator=generator, dtype=torch.float64) * room).long()
        return self.crops(self.ends[picked] - self.lengths[picked] + shift), self.rows[picked]

    def crops(self, starts: Tensor) -> Tensor:
        """(b, coded leads, length) float32 mV from each start in the joined signals."""
        windows = self.signals.unfold(0, self.length, 1)  # a view of every window there is
        return windows[starts.to(self.signals.device)].contiguous().float() / MICROVOLTS


def load(store: Store, rows: np.ndarray, lengths: np.ndarray, coded: tuple[str, ...]) -> np.ndarray:
    """(sum of lengths, coded leads) int16 microvolts: the rows one after another, fitted to the coded leads."""
    matrix, lost = fit(store.leads, coded)
    if lost:
        raise ValueError(f"{store.path} has leads {', '.join(store.leads)}; the model wants {', '.join(coded)}")
    joined = np.zeros((int(lengths.sum()), len(coded)), np.int16)
    starts = np.cumsum(lengths) - lengths
    for row, start in zip(rows, starts):
        offset, length = store.spans[row]
        fitted = np.rint(store.signals[offset:offset + length] @ matrix.T)
        joined[start:start + length] = np.clip(fitted, -32767, 32767)
    return joined
