"""Checks of sets of signals, and the progress through them."""

from collections.abc import Callable, Sequence

import numpy as np

from ecgvae.signal.record import is_positive

RecordProgress = Callable[[int], object]       # called with the number of records done


def no_record_progress(done: int) -> None:
    """Shows nothing."""


def check_signals(signals: np.ndarray, rate: float, leads: Sequence[str]) -> np.ndarray:
    """Signals (n, leads, t) in mV as float32; ValueError if their shape, the rate or the leads are impossible."""
    signals = np.asarray(signals)
    if signals.dtype.kind not in "fiu" or signals.ndim != 3 or signals.shape[1] != len(leads) or not signals.size:
        raise ValueError(f"signals {signals.shape} of {signals.dtype}; wanted numbers (n, {len(leads)} leads, t)")
    if not is_positive(rate):
        raise ValueError(f"a rate of {rate!r:.60} Hz; wanted a number above 0")
    return signals.astype(np.float32, copy=False)
