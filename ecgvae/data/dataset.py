"""Random windows of a store's records, all held in memory (or on the GPU) as int16."""

import numpy as np
import torch
from torch import Tensor

from ecgvae.data.store import MICROVOLTS_PER_MV, Store
from ecgvae.signal import fit_leads, independent_leads

CHUNK = 1 << 20  # samples fitted at a time


class Windows:
    """Crops of `length` samples from some rows of a store, fitted to the coded leads.

    `signals` (coded leads, total) has the rows end to end, row i being the `lengths[i]` before `ends[i]`.
    A row shorter than a crop is filled up with zeros.
    """

    def __init__(self, store: Store, rows: np.ndarray, length: int, coded: tuple[str, ...] | None = None):
        if len(rows) == 0 or length < 1:
            raise ValueError(f"{len(rows)} records of {store.path}, {length} samples a window; wanted some")
        self.length = length
        self.coded = independent_leads(store.leads) if coded is None else tuple(coded)
        self.rows = torch.as_tensor(np.asarray(rows, np.int64))
        lengths = np.maximum(store.spans[rows, 1], length)
        self.lengths, self.ends = torch.as_tensor(lengths), torch.as_tensor(np.cumsum(lengths))
        self.signals = torch.from_numpy(load(store, rows, lengths, self.coded))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> "Windows":
        """Move the signals, in place."""
        self.signals = self.signals.to(device)
        return self

    def batch(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw (count, coded leads, length) float32 mV and the store's rows they are from.

        A row's chance is its length. The generator is one of the CPU: every device draws the same windows.
        """
        places = torch.randint(int(self.ends[-1]), (count,), generator=generator)
        picked = torch.searchsorted(self.ends, places, right=True)
        room = self.lengths[picked] - self.length + 1
        shift = (torch.rand(count, generator=generator, dtype=torch.float64) * room).long()
        return self.crops(self.ends[picked] - self.lengths[picked] + shift), self.rows[picked]

    def crops(self, starts: Tensor) -> Tensor:
        """(b, coded leads, length) float32 mV that begin at some samples of `signals`."""
        windows = self.signals.unfold(1, self.length, 1).transpose(0, 1)  # a view: (starts, leads, length)
        return windows[starts.to(self.signals.device)].float() / MICROVOLTS_PER_MV


def load(store: Store, rows: np.ndarray, lengths: np.ndarray, coded: tuple[str, ...]) -> np.ndarray:
    """(coded leads, sum of lengths) int16 microvolts: the rows end to end, by least squares."""
    matrix, lost = fit_leads(store.leads, coded)
    if lost:
        has, wanted = ", ".join(store.leads), ", ".join(coded)
        raise ValueError(f"{store.path} has leads {has}; the model wants {wanted}")
    joined = np.zeros((len(coded), int(lengths.sum())), np.int16)
    for row, place in zip(rows, np.cumsum(lengths) - lengths, strict=True):
        offset, length = store.spans[row]
        for start in range(0, length, CHUNK):
            stop = min(start + CHUNK, length)
            fitted = np.rint(matrix @ store.signals[offset + start:offset + stop].T)
            joined[:, place + start:place + stop] = np.clip(fitted, -32767, 32767)
    return joined
