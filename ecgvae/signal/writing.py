"""Records to disk, as WFDB format 16."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from ecgvae.signal.headers import plain_path
from ecgvae.signal.record import Record

GAINS = (1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)  # adu/mV; 1000 is a resolution of 1 µV
LARGEST = 32767
MISSING = -32768


def write_record(
    record: Record, folder: str | Path, name: str | None = None, overwrite: bool = False
) -> Path:
    """Writes NAME.dat and NAME.hea (NAME may have subfolders) and returns the path without suffix.

    Resolution is 1 µV, or coarser for leads beyond ±32.767 mV; missing samples stay missing.
    """
    path = Path(folder) / _safe(record.name if name is None else name)
    data, header = path.with_name(f"{path.name}.dat"), path.with_name(f"{path.name}.hea")
    if not overwrite:
        for file in (data, header):
            if file.exists():
                raise FileExistsError(f"{file} exists; wanted a new name or overwrite")
    stored, gains = _digital(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    header_text = _header(record, path.name, stored, gains)
    drafts = [file.with_name(f".{file.name}.{os.getpid()}.partial") for file in (data, header)]
    try:
        drafts[0].write_bytes(stored.T.tobytes())
        drafts[1].write_text(header_text, encoding="utf-8", newline="\n")
        header.unlink(missing_ok=True)  # an old header never describes new samples
        drafts[0].replace(data)
        drafts[1].replace(header)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return path


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(plain_path(name))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"record name {name!r}; wanted a path below the folder")
    if not re.fullmatch(r"[-\w]+", path.name, re.ASCII):
        raise ValueError(f"record name {path.name!r}; WFDB wants letters, digits, _ and -")
    return path


def _digital(record: Record) -> tuple[np.ndarray, list[int]]:
    """Samples (c, t) as int16, and the gain of each lead."""
    if not record.signal.size:
        raise ValueError(f"{record.name} has no samples")
    stored = np.empty(record.signal.shape, dtype="<i2")
    gains = []
    for row, signal in enumerate(record.signal):
        known = np.isfinite(signal)
        peak = float(np.abs(signal, where=known, out=np.zeros_like(signal)).max())
        gain = next((gain for gain in GAINS if round(peak * gain) <= LARGEST), None)
        if gain is None:
            raise ValueError(f"{record.leads[row]} reaches {peak:g} mV; wanted at most {LARGEST} mV")
        stored[row] = np.where(known, np.rint(np.where(known, signal, 0).astype(np.float64) * gain), MISSING)
        gains.append(gain)
    return stored, gains


def _header(record: Record, name: str, stored: np.ndarray, gains: list[int]) -> str:
    rate = np.format_float_positional(record.rate, trim="-")
    lines = [f"{name} {len(stored)} {rate} {stored.shape[1]}"]
    for lead, gain, signal in zip(record.leads, gains, stored, strict=True):
        checksum = int(signal.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{name}.dat 16 {gain}(0)/mV 16 0 {signal[0]} {checksum} 0 {_one_line(lead)}")
    lines += [f"# {_one_line(comment)}" for comment in record.comments]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
