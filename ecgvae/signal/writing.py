"""Writing records to disk, as WFDB format 16."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from ecgvae.signal.headers import invented_comment, plain_path
from ecgvae.signal.record import Record, check_finite
from ecgvae.signal.segments import MISSING_SAMPLE
from ecgvae.signal.start_time import format_start_time

GAINS_PER_MV = (1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)  # 1000 steps per mV are a resolution of 1 µV
MAX_SAMPLE = 32767


def write_record(
    record: Record, folder: str | Path, name: str | None = None, overwrite: bool = False
) -> Path:
    """Writes a record as NAME.dat and NAME.hea.

    The resolution is 1 µV, or coarser for leads beyond ±32.767 mV. Missing samples stay missing.

    Args:
        record: The record.
        folder: The folder to write to. It is created if it does not exist.
        name: The record's name in the folder, which may have subfolders; by default its own name.
        overwrite: Replaces files that exist.

    Returns:
        The path without suffix.

    Raises:
        ValueError: WFDB does not allow the name, or the record has no samples or more than 32,767 mV.
        FileExistsError: A file exists, and `overwrite` is False.
    """
    if not isinstance(record, Record):
        raise ValueError(f"write_record got {type(record).__name__}; wanted a Record, as from read_record")
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(f"the folder is {folder!r:.60}; wanted a path")
    path = Path(folder) / _safe_name(record.name if name is None else name)
    data, header = path.with_name(f"{path.name}.dat"), path.with_name(f"{path.name}.hea")
    if not overwrite:
        for file in (data, header):
            if file.exists():
                raise FileExistsError(f"{file} exists; wanted a new name or overwrite")
    check_finite(record.signal, record.name)
    stored, gains = _quantize(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    header_text = _header(record, path.name, stored, gains)
    drafts = [file.with_name(f".{file.name}.{os.getpid()}.partial") for file in (data, header)]
    try:
        drafts[0].write_bytes(stored.T.tobytes())
        drafts[1].write_text(header_text, encoding="utf-8", newline="\n")
        header.unlink(missing_ok=True)  # so that an interruption leaves no old header with new samples
        drafts[0].replace(data)
        drafts[1].replace(header)
    finally:
        for draft in drafts:
            draft.unlink(missing_ok=True)
    return path


def _safe_name(name: str) -> PurePosixPath:
    """A record's name as a relative path; ValueError if it leaves the folder or WFDB does not allow it."""
    path = PurePosixPath(plain_path(name))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"record name {name!r}; wanted a path below the folder")
    if not re.fullmatch(r"[-\w]+", path.name, re.ASCII):
        raise ValueError(f"record name {path.name!r}; WFDB wants letters, digits, _ and -")
    return path


def _quantize(record: Record) -> tuple[np.ndarray, list[int]]:
    """Samples (c, t) as int16, and the gain of each lead in steps per mV."""
    if not record.signal.size:
        raise ValueError(f"{record.name} has no samples")
    stored = np.empty(record.signal.shape, dtype="<i2")
    gains = []
    for row, signal in enumerate(record.signal):
        present = np.isfinite(signal)
        peak = float(np.abs(signal, where=present, out=np.zeros_like(signal)).max())
        gain = next((gain for gain in GAINS_PER_MV if round(peak * gain) <= MAX_SAMPLE), None)
        if gain is None:
            raise ValueError(f"{record.leads[row]} reaches {peak:g} mV; wanted at most {MAX_SAMPLE} mV")
        stored[row] = np.where(present, np.rint(np.where(present, signal, 0).astype(np.float64) * gain), MISSING_SAMPLE)
        gains.append(gain)
    return stored, gains


def _header(record: Record, name: str, stored: np.ndarray, gains: list[int]) -> str:
    rate = np.format_float_positional(record.rate, trim="-")
    lines = [f"{name} {len(stored)} {rate} {stored.shape[1]} {format_start_time(record.start_time)}".rstrip()]
    for lead, gain, signal in zip(record.leads, gains, stored, strict=True):
        checksum = int(signal.sum(dtype=np.int64).astype(np.int16))
        lines.append(f"{name}.dat 16 {gain}(0)/mV 16 0 {signal[0]} {checksum} 0 {_one_line(lead)}")
    comments = [*record.comments, *([invented_comment(record.invented_leads)] if record.invented_leads else [])]
    lines += [f"# {_one_line(comment)}" for comment in comments]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
