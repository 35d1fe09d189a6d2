"""Errors of reconstructions from sums over time, which pieces of a long record add to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgvae import metrics
from ecgvae.metrics import Moments
from ecgvae.signal import MICROVOLTS_PER_MV


class Comparison:
    """Collects errors of every lead of the records of a store, and sums of power spectra.

    A record may come in pieces, in order. Its errors equal those of the whole record.

    Args:
        lengths: Number of samples of every record.
        leads: Number of leads.
        rate: Their sampling rate in Hz.
    """

    def __init__(self, lengths: Sequence[int], leads: int, rate: float):
        self.lengths, self.rate = lengths, rate
        self.errors = {name: np.full((len(lengths), leads), np.nan) for name in ("prdn", "rmse_uv", "correlation")}
        self.spectra = np.zeros(())
        self._unfinished: dict[int, Moments] = {}

    def add(self, index: int, part: "Part", present: np.ndarray) -> None:
        """Adds a piece of a record.

        Args:
            index: The record.
            part: The statistics of the piece.
            present: A mask (leads,) of the leads to measure.
        """
        moments, length = part.moments, self.lengths[index]
        self.spectra = self.spectra + part.spectra * present[:, None] * (moments.samples / length)
        if index in self._unfinished:
            moments = self._unfinished.pop(index) + moments
        if moments.samples < length:
            self._unfinished[index] = moments
            return
        measured = {"prdn": moments.prdn(), "rmse_uv": moments.rmse() * MICROVOLTS_PER_MV,
                    "correlation": moments.correlation()}
        for name, values in measured.items():
            self.errors[name][index] = np.where(present, values, np.nan)

    def report(self) -> dict:
        """Summaries of all errors, and the distance of the mean power spectra in dB."""
        errors = {**self.errors, "snr_db": metrics.prdn_to_snr(self.errors["prdn"])}
        target, reconstruction = self.spectra
        return {**{name: metrics.summary(errors[name]) for name in ("prdn", "rmse_uv", "snr_db", "correlation")},
                "spectrum_db": metrics.power_distance(target, reconstruction, self.rate)}


@dataclass(frozen=True, eq=False)
class Part:
    """Statistics of a piece of a record: moments, and power spectra (2, leads, f) of signal and reconstruction."""

    moments: Moments
    spectra: np.ndarray


def measure(target: np.ndarray, target_spectrum: np.ndarray, reconstruction: np.ndarray, rate: float) -> Part:
    """Compares the leads (leads, t) of a piece with their reconstruction, in mV."""
    spectra = np.stack([target_spectrum, metrics.power_spectrum(reconstruction, rate)])
    return Part(Moments.of(target, reconstruction), spectra)
