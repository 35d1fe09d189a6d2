"""How large signals are: the amplitudes of a record, and the range of those that a model was trained on."""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from ecgvae.settings import Settings
from ecgvae.wording import plain

FAR_FACTOR = 2  # beyond the range of the training data, from which on a record is noted
ABSURD_FACTOR = 20  # from which on a record is refused; a wrong unit is a factor of 1000
# Offset from which on a lead is noted. In PTB-XL the |median| of a lead is 0.06 mV (50 % of leads), 0.24 mV (99 %),
# 1.2 mV (99.9 %) and 5.6 mV at most.
MAX_OFFSET_MV = 1.0
MAX_LISTED_LEADS = 3  # of a note
UNLIKE_TRAINING = "amplitudes unlike the training data"  # the start of a note


class AmplitudeMeter:
    """Measures the amplitudes of the leads of a record, whose signal arrives in blocks.

    Args:
        rate: Sampling rate in Hz.
    """

    def __init__(self, rate: float):
        self._second = max(1, round(rate))  # samples
        self._rest = np.zeros((0, 0), np.float32)
        self._deviations: list[np.ndarray] = []  # (leads, seconds) of each block
        self._peaks: list[np.ndarray] = []
        self._sum: np.ndarray | float = 0.0  # (c,) float64
        self._samples = 0

    def add(self, block: np.ndarray) -> None:
        """Adds a block (c, t) in mV."""
        self._peaks.append(np.maximum(block.max(axis=1, initial=0), -block.min(axis=1, initial=0)))
        self._sum = self._sum + block.sum(axis=1, dtype=np.float64)
        self._samples += block.shape[1]
        signal = np.concatenate([self._rest, block], axis=1) if self._rest.size else block
        seconds = signal.shape[1] // self._second
        if seconds:
            whole = signal[:, :seconds * self._second].reshape(len(signal), seconds, self._second)
            self._deviations.append(deviation(whole))
        self._rest = signal[:, seconds * self._second:]

    @cached_property
    def rms_mv(self) -> np.ndarray:
        """The typical amplitude (c,) of each lead in mV: the median, over the seconds, of the RMS around the mean.

        It is read after the last block.
        """
        deviations = self._deviations or [deviation(self._rest)[:, None]]
        return median(np.concatenate(deviations, axis=1))

    @cached_property
    def peak_mv(self) -> np.ndarray:
        """The largest absolute value (c,) of each lead in mV, read after the last block."""
        return np.max(self._peaks, axis=0)

    @property
    def offset_mv(self) -> np.ndarray:
        """The mean (c,) of each lead over the blocks so far, in mV."""
        return np.asarray(self._sum / max(1, self._samples))


def deviation(signal: np.ndarray) -> np.ndarray:
    """The standard deviation over the last axis; infinite if it is too large for float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(signal.std(axis=-1), nan=np.inf, posinf=np.inf)


def median(values: np.ndarray) -> np.ndarray:
    """The median over the last axis; for few values much faster than np.median."""
    ordered, middle = np.sort(values, axis=-1), values.shape[-1] // 2
    return ordered[..., middle] if values.shape[-1] % 2 else (ordered[..., middle - 1] + ordered[..., middle]) / 2


class Quantiles(Settings):
    """The 1 %, 50 % and 99 % quantiles of an amplitude in mV over the leads of all records."""

    q01: float = Field(ge=0)
    q50: float = Field(ge=0)
    q99: float = Field(ge=0)

    @classmethod
    def of(cls, values: Iterable[np.ndarray]) -> "Quantiles":
        q01, q50, q99 = np.quantile(np.concatenate(list(values)), (0.01, 0.5, 0.99)).astype(float).round(4)
        return cls(q01=q01, q50=q50, q99=q99)


class Amplitudes(Settings):
    """The amplitudes of the coded leads of the records that a model was trained on.

    Attributes:
        rms_mv: The typical amplitude of a lead in mV; see `AmplitudeMeter.rms_mv`.
        peak_mv: The largest absolute value of a lead in mV.
    """

    rms_mv: Quantiles
    peak_mv: Quantiles

    @classmethod
    def of(cls, meters: Sequence[AmplitudeMeter]) -> "Amplitudes":
        """The amplitudes of the records, one meter for each."""
        return cls(rms_mv=Quantiles.of(meter.rms_mv for meter in meters),
                   peak_mv=Quantiles.of(meter.peak_mv for meter in meters))

    def check(self, meter: AmplitudeMeter, name: str) -> None:
        """Raises ValueError if the typical amplitude of a record of this name cannot be that of an ECG in mV.

        The typical amplitude is the median over the leads that are not flat. Flat training data are no measure.
        """
        present = meter.rms_mv[meter.rms_mv > 0]
        typical = float(median(present)) if present.size else self.rms_mv.q50
        low, high = self.rms_mv.q01 / ABSURD_FACTOR, self.rms_mv.q99 * ABSURD_FACTOR
        if high and not low <= typical <= high:
            raise ValueError(f"{plain(name)} has a typical amplitude of {typical:.3g} mV; the model was trained on "
                             f"{self.rms_mv.q01:.2g} to {self.rms_mv.q99:.2g} mV: is the signal in mV?")

    def notes(self, meter: AmplitudeMeter, leads: Sequence[str]) -> tuple[str, ...]:
        """A note if leads of a record are far outside the amplitudes of the training data, or have a large offset.

        A lead that is flat near 0 mV is not noted.
        """
        rms, peak, offset = meter.rms_mv, meter.peak_mv, meter.offset_mv
        is_far = (rms > self.rms_mv.q99 * FAR_FACTOR) | (peak > self.peak_mv.q99 * FAR_FACTOR)
        is_far |= (rms < self.rms_mv.q01 / FAR_FACTOR) & (rms > 0)
        is_offset = np.abs(offset) > MAX_OFFSET_MV
        if not (is_far | is_offset).any():
            return ()
        texts = []
        for row, lead in enumerate(leads):
            measures = [f"RMS {rms[row]:.2g} mV", f"peak {peak[row]:.3g} mV"] if is_far[row] else []
            measures += [f"offset {offset[row]:.2g} mV"] if is_offset[row] else []
            texts += [f"{lead} {', '.join(measures)}"] if measures else []
        more = f"; {len(texts) - MAX_LISTED_LEADS} more" if len(texts) > MAX_LISTED_LEADS else ""
        return (f"{UNLIKE_TRAINING}: {'; '.join(texts[:MAX_LISTED_LEADS])}{more}",)
