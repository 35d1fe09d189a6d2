"""Random windows of a store's records, which are kept in memory (or on the GPU) as int16."""

import numpy as np
import torch
from torch import Tensor

from ecgvae.data.store import Store
from ecgvae.signal import MICROVOLTS_PER_MV, fit_leads, independent_leads

FIT_SAMPLES = 1 << 20  # samples fitted at a time, to bound memory


class Windows:
    """Windows of some rows of a store, fitted to the coded leads. A row shorter than a window is padded with zeros.

    `signals` (coded leads, total samples) has the rows end to end; row i is `signals[:, ends[i] - lengths[i]:ends[i]]`.

    Args:
        store: The store.
        rows: The rows to take windows from.
        length: Length of a window in samples.
        coded: The coded leads; by default the independent ones of the store.

    Raises:
        ValueError: There are no rows, `length` is below 1, or the store lacks a lead.
    """

    def __init__(self, store: Store, rows: np.ndarray, length: int, coded: tuple[str, ...] | None = None):
        if len(rows) == 0 or length < 1:
            raise ValueError(f"{len(rows)} records of {store.path}, {length} samples per window; wanted 1 or more")
        self.length = length
        self.coded = independent_leads(store.leads) if coded is None else tuple(coded)
        self.rows = torch.as_tensor(np.asarray(rows, np.int64))
        lengths = np.maximum(store.spans[rows, 1], length)
        self.lengths, self.ends = torch.as_tensor(lengths), torch.as_tensor(np.cumsum(lengths))
        self.signals = torch.from_numpy(load_signals(store, rows, lengths, self.coded))

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str) -> "Windows":
        """Moves the signals in place, and returns itself."""
        self.signals = self.signals.to(device)
        return self

    def batch(self, count: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draws windows at random. The probability of a row is proportional to its length.

        Args:
            count: Number of windows.
            generator: A CPU generator, so that the windows do not depend on the device.

        Returns:
            Windows (count, coded leads, length) float32 in mV, and the store's row (count,) of each.
        """
        samples = torch.randint(int(self.ends[-1]), (count,), generator=generator)
        drawn = torch.searchsorted(self.ends, samples, right=True)
        n_starts = self.lengths[drawn] - self.length + 1
        shift = (torch.rand(count, generator=generator, dtype=torch.float64) * n_starts).long()
        return self.crops(self.ends[drawn] - self.lengths[drawn] + shift), self.rows[drawn]

    def crops(self, starts: Tensor) -> Tensor:
        """Windows (b, coded leads, length) float32 in mV that begin at the given samples of `signals`."""
        windows = self.signals.unfold(1, self.length, 1).transpose(0, 1)  # a view: (starts, leads, length)
        return windows[starts.to(self.signals.device)].float() / MICROVOLTS_PER_MV


def load_signals(store: Store, rows: np.ndarray, lengths: np.ndarray, coded: tuple[str, ...]) -> np.ndarray:
    """The rows end to end, fitted to the coded leads by least squares: (coded leads, sum of lengths) int16 in µV.

    Rows that are longer than their `lengths` are cut, shorter ones are padded with zeros.
    """
    if fit_leads(store.leads, coded)[1]:
        raise ValueError(f"{store.path} has leads {', '.join(store.leads)}; the model wants {', '.join(coded)}")
    joined = np.zeros((len(coded), int(lengths.sum())), np.int16)
    for row, first, wanted in zip(rows, np.cumsum(lengths) - lengths, lengths, strict=True):
        offset, length = store.spans[row]
        length, matrix = min(length, wanted), fit_row(store, row, coded)
        for start in range(0, length, FIT_SAMPLES):
            stop = min(start + FIT_SAMPLES, length)
            fitted = np.rint(matrix @ store.signals[offset + start:offset + stop].T)
            joined[:, first + start:first + stop] = np.clip(fitted, -32767, 32767)
    return joined


def fit_row(store: Store, row: int, coded: tuple[str, ...]) -> np.ndarray:
    """The matrix (coded, leads) of the fit of a row; leads that its record lacked have no part in it."""
    absent = store.absent_leads(row)
    present = [index for index, lead in enumerate(store.leads) if lead not in absent]
    matrix = np.zeros((len(coded), len(store.leads)))
    matrix[:, present] = fit_leads(tuple(store.leads[index] for index in present), coded)[0]
    return matrix
