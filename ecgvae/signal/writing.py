"""Writing records to disk, as WFDB format 16."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from ecgvae.files import CAN_LOCK, is_at, name_errors, try_lock
from ecgvae.signal.headers import invented_comment, plain_path
from ecgvae.signal.record import Record, check_finite
from ecgvae.signal.segments import MISSING_SAMPLE
from ecgvae.signal.start_time import format_start_time
from ecgvae.wording import plain

GAINS_PER_MV = (1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)  # 1000 steps per mV are a resolution of 1 µV
MAX_SAMPLE = 32767
BLOCK_SAMPLES = 1 << 18


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
        OSError: Another process is writing the same record.
    """
    if not isinstance(record, Record):
        raise ValueError(f"write_record got {type(record).__name__}; wanted a Record, as from read_record")
    starts = range(0, record.samples, BLOCK_SAMPLES)
    return write_blocks(
        replace(record, signal=record.signal[:, :0]),
        lambda: (record.signal[:, start : start + BLOCK_SAMPLES] for start in starts),
        folder,
        name,
        overwrite,
    )


def write_blocks(
    facts: Record,
    blocks: Callable[[], Iterable[np.ndarray]],
    folder: str | Path,
    name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a record whose samples arrive in blocks, in the memory of one block, as `write_record` does.

    Args:
        facts: The record without its samples.
        blocks: Returns the samples (c, t) in mV, block by block. It is called again if a lead exceeds ±32.767 mV.
        folder, name, overwrite: As for `write_record`.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(f"the folder is {folder!r:.60}; wanted a path")
    path = Path(folder) / _safe_name(facts.name if name is None else name)
    data, header = path.with_name(f"{path.name}.dat"), path.with_name(f"{path.name}.hea")
    if not overwrite:
        for file in (data, header):
            if file.exists():
                raise FileExistsError(f"{file} exists; wanted a new name or overwrite")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _draft(data) as data_draft, _draft(header) as header_draft:
        samples = _store(facts, blocks, data_draft)
        header_draft.write_text(_header(facts, path.name, samples), encoding="utf-8", newline="\n")
        header.unlink(missing_ok=True)  # so that an interruption leaves no old header with new samples
        data_draft.replace(data)
        header_draft.replace(header)
    return path


@contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """The path of a hidden draft beside a file. It is locked, and deleted after an error.

    Its name does not change, so the next attempt replaces the draft of a process that was killed.
    """
    draft = target.with_name(f".{target.name}.partial")
    with open(draft if CAN_LOCK else os.devnull, "ab") as file:
        if CAN_LOCK and not (try_lock(file) and is_at(file, draft)):  # another process may have finished it meanwhile
            raise OSError(f"another process is writing {target}")
        try:
            with name_errors(target.with_suffix("")):
                yield draft
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def _safe_name(name: str) -> PurePosixPath:
    """A record's name as a relative path; ValueError if it leaves the folder or WFDB does not allow it."""
    path = PurePosixPath(plain_path(name))
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"record name {name!r}; wanted a path below the folder")
    if not re.fullmatch(r"[-\w]+", path.name, re.ASCII):
        raise ValueError(f"record name {path.name!r}; WFDB wants letters, digits, _ and -")
    return path


@dataclass(frozen=True)
class Samples:
    """What a header says about the samples of each lead: steps per mV, first stored value, checksum, and their number.

    The peaks are the largest magnitudes in mV.
    """

    gains: list[int]
    first: list[int]
    checksums: list[int]
    count: int
    peaks: list[float]


def _store(facts: Record, blocks: Callable[[], Iterable[np.ndarray]], path: Path) -> Samples:
    """Writes the samples to a file, at the finest gain that each lead allows."""
    gains = [GAINS_PER_MV[0]] * len(facts.leads)
    samples = _store_at(gains, facts, blocks(), path)
    if not samples.count or not facts.leads:
        raise ValueError(f"{plain(facts.name)} has no samples")
    allowed = [_gain(lead, peak) for lead, peak in zip(facts.leads, samples.peaks, strict=True)]
    return samples if allowed == gains else _store_at(allowed, facts, blocks(), path)


def _gain(lead: str, peak: float) -> int:
    gain = next((gain for gain in GAINS_PER_MV if round(peak * gain) <= MAX_SAMPLE), None)
    if gain is None:
        raise ValueError(f"{plain(lead)} reaches {peak:g} mV; wanted at most {MAX_SAMPLE} mV")
    return gain


def _store_at(gains: list[int], facts: Record, blocks: Iterable[np.ndarray], path: Path) -> Samples:
    """Writes the samples at these gains; values beyond the range are clipped."""
    first: list[int] = []
    checksums, peaks, count = np.zeros(len(gains), np.int64), np.zeros(len(gains), np.float32), 0
    with open(path, "wb") as file:
        for block in blocks:
            check_finite(block, facts.name)
            stored = _quantize(block, gains)
            file.write(stored.T.tobytes())
            first = first or stored[:, :1].T.ravel().tolist()
            checksums += stored.sum(axis=1, dtype=np.int64)
            peaks = np.maximum(peaks, np.fmax.reduce(np.abs(block), axis=1, initial=0))
            count += block.shape[1]
    return Samples(gains, first, checksums.astype(np.int16).tolist(), count, peaks.tolist())


def _quantize(block: np.ndarray, gains: list[int]) -> np.ndarray:
    """Samples (c, t) as int16."""
    stored = np.empty(block.shape, dtype="<i2")
    for row, (signal, gain) in enumerate(zip(block, gains, strict=True)):
        steps = np.rint(signal.astype(np.float64) * gain)
        np.clip(steps, -MAX_SAMPLE, MAX_SAMPLE, out=steps)
        steps[np.isnan(steps)] = MISSING_SAMPLE
        stored[row] = steps
    return stored


def _header(facts: Record, name: str, samples: Samples) -> str:
    rate = np.format_float_positional(facts.rate, trim="-")
    lines = [f"{name} {len(facts.leads)} {rate} {samples.count} {format_start_time(facts.start_time)}".rstrip()]
    for lead, gain, first, checksum in zip(
        facts.leads, samples.gains, samples.first, samples.checksums, strict=True
    ):
        lines.append(f"{name}.dat 16 {gain}(0)/mV 16 0 {first} {checksum} 0 {_one_line(lead)}")
    comments = [*facts.comments, *([invented_comment(facts.invented_leads)] if facts.invented_leads else [])]
    lines += [f"# {_one_line(comment)}" for comment in comments]
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
