"""Stores and records written by hand, and what a folder holds."""

import json
from pathlib import Path

import numpy as np
import pandas

from ecgvae.data.store import Store
from ecgvae.signal import LEADS_12, MICROVOLTS_PER_MV


def write_store(folder: Path, signals: np.ndarray, leads: tuple[str, ...], rate: float = 100, **columns) -> Store:
    """A store of signals (records, leads, samples) in mV, with columns for its table of records."""
    count, _, length = signals.shape
    table = {"name": [f"r{index}" for index in range(count)], "start": 0, "offset": np.arange(count) * length,
             "length": length, "rate": rate, "samples": length, "notes": [[]] * count, "comments": [[]] * count}
    folder.mkdir()
    stored = np.rint(signals.transpose(0, 2, 1).reshape(-1, len(leads)) * MICROVOLTS_PER_MV).astype(np.int16)
    np.save(folder / "signals.npy", stored)
    pandas.DataFrame({**table, **columns}).to_parquet(folder / "records.parquet")
    (folder / "manifest.json").write_text(json.dumps(
        {"format": 1, "leads": list(leads), "rate": rate, "samples": count * length, "fingerprint": "by hand",
         "source": "by-hand"}))
    return Store(folder)


def write_wfdb(path, microvolts, leads=LEADS_12, rate=100, gain=1000):
    """A format 16 record with these stored values (t, c); at 1000 a millivolt they are microvolts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".dat").write_bytes(microvolts.astype("<i2").tobytes())
    lines = [f"{path.name} {len(leads)} {rate} {len(microvolts)}"]
    lines += [f"{path.name}.dat 16 {gain}/mV 16 0 0 0 0 {lead}" for lead in leads]
    path.with_suffix(".hea").write_text("\n".join([*lines, f"# about {path.name}"]) + "\n")
    return microvolts


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
