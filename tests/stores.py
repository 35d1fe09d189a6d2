"""Stores written by hand, for what needs more records than are quick to prepare."""

import json
from pathlib import Path

import numpy as np
import pandas

from ecgvae.data.store import MICROVOLTS, Store


def write_store(folder: Path, signals: np.ndarray, leads: tuple[str, ...], rate: float = 100, **columns) -> Store:
    """A store of signals (records, leads, samples) in mV, with columns for its table of records."""
    count, _, length = signals.shape
    table = {"name": [f"r{index}" for index in range(count)], "start": 0, "offset": np.arange(count) * length,
             "length": length, "rate": rate, "samples": length, "notes": [[]] * count, "comments": [[]] * count}
    folder.mkdir()
    stored = np.rint(signals.transpose(0, 2, 1).reshape(-1, len(leads)) * MICROVOLTS).astype(np.int16)
    np.save(folder / "signals.npy", stored)
    pandas.DataFrame({**table, **columns}).to_parquet(folder / "records.parquet")
    (folder / "manifest.json").write_text(json.dumps(
        {"format": 1, "leads": list(leads), "rate": rate, "samples": count * length, "fingerprint": "by hand",
         "source": "by-hand"}))
    return Store.open(folder)
