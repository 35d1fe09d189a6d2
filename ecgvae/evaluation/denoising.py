"""How much noise a model removes from an ECG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecgvae import metrics
from ecgvae.data.fingerprints import TrainingRecords
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import RecordBatch, batches, reconstruct, split_rows
from ecgvae.evaluation.provenance import count_seen, present_leads
from ecgvae.models import Autoencoder
from ecgvae.noise import Corruption, NoiseRecordings, corruptions

TEST_KINDS = ("wander", "muscle", "electrode", "mains-50")
SNRS_DB = (20, 10, 5, 0)


def held_out_noises(rate: float, recordings: str | Path | None = None, device: str = "cpu") -> dict[str, Corruption]:
    """Noise for evaluation, by kind: second halves of recordings, which training does not use, or synthetic noise.

    Args:
        rate: Sampling rate of the signals in Hz.
        recordings: Folder of recorded noise (see `ecgvae.noise.NoiseRecordings`); None for only synthetic noise.
        device: Device of the recordings.
    """
    recorded = None if recordings is None else NoiseRecordings(recordings, rate, "second", device)
    return corruptions(TEST_KINDS, rate, recorded)


def denoising(model: Autoencoder, store: Store, split: str, noises: Mapping[str, Corruption],
              snrs_db: Sequence[float] = SNRS_DB, seed: int = 0,
              trained_on: TrainingRecords | None = None) -> list[dict]:
    """PRDN (%) between clean signals and a model's reconstructions of noisy ones.

    Noise is added to the coded leads at the model's rate; PRDN is computed over all leads, except those that a record
    lacked. The noise depends only on the seed, so it is the same at every SNR and for all models with the same leads
    and rate. A record of more than about three minutes is measured in pieces, each with noise of the given SNR.

    Args:
        model: The model.
        store: The records.
        split: The split to use.
        noises: Functions that add noise, by name.
        snrs_db: Signal-to-noise ratios in dB.
        seed: Seed of the noise.
        trained_on: The model's training records, see `checkpoint.training_records`.

    Returns:
        A row for each noise and SNR: `noise`, `snr_db`, `prdn` of the reconstructions and `noisy_prdn` of the noisy
        signals themselves, both as mean, median and 95th percentile; `records`, and how many of them the model was
        trained on (`seen_in_training`, None if unknown).
    """
    device, cases = model.expansion.device, [(name, snr_db) for name in noises for snr_db in snrs_db]
    rows = split_rows(store, split)
    present = dict(zip(rows.tolist(), present_leads(store, rows, model.signal.leads), strict=True))
    generators = {case: torch.Generator(device).manual_seed(seed) for case in cases}
    noisy_errors: dict[tuple[str, float], RecordPRDN] = {case: RecordPRDN() for case in cases}
    errors: dict[tuple[str, float], RecordPRDN] = {case: RecordPRDN() for case in cases}
    for batch in batches(model, store, rows):
        for name, snr_db in cases:
            noisy = noises[name](batch.x, snr_db, generators[name, snr_db])
            noisy_errors[name, snr_db].add(model, batch, noisy)
            errors[name, snr_db].add(model, batch, reconstruct(model, noisy))
    facts = {"records": len(rows), "seen_in_training": count_seen(trained_on, store, rows, model.signal)}
    return [{"noise": name, "snr_db": snr_db, **facts, "prdn": errors[name, snr_db].summary(present),
             "noisy_prdn": noisy_errors[name, snr_db].summary(present)} for name, snr_db in cases]


class RecordPRDN:
    """PRDN (%) of every lead of every record, whose pieces are added in order."""

    def __init__(self) -> None:
        self.moments: dict[int, metrics.Moments] = {}

    def add(self, model: Autoencoder, batch: RecordBatch, y: Tensor) -> None:
        """Adds a batch and other signals y of its records, as coded leads (b, c, t)."""
        targets, others = (model.all_leads(signals.float()).cpu().numpy() for signals in (batch.x, y))
        for row, piece, target, other in zip(batch.rows.tolist(), batch.pieces, targets, others, strict=True):
            inside = piece.frames(batch.records[0].rate, model, 1)
            moments = metrics.Moments.of(target[:, inside], other[:, inside])
            self.moments[row] = self.moments[row] + moments if row in self.moments else moments

    def summary(self, present: Mapping[int, np.ndarray]) -> dict[str, float]:
        """The summary over all leads that the records had; `present` is a mask (leads,) by row."""
        return metrics.summary(np.concatenate([moments.prdn()[present[row]] for row, moments in self.moments.items()]))
