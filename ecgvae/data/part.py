"""A part of a store in preparation: a batch of records at the store's leads and rate."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ecgvae.data.errors import error_text
from ecgvae.data.jobs import write_atomically
from ecgvae.data.layout import Layout
from ecgvae.data.naming import NamedPath
from ecgvae.data.store import MICROVOLTS_PER_MV
from ecgvae.signal import RecordFile, SignalSpec, conform_stream, open_record, recorded_leads
from ecgvae.signal.conform import Conformed
from ecgvae.signal.start_time import later

MAX_STORED_UV = 32767  # -32768 is not used, as it is WFDB's missing sample
ABSURD_RMS_MV = 20.0  # about the mean, of the median second and lead; a hundred times that of ECG
ABSURD = (f"absurd amplitudes: most samples beyond ±{MAX_STORED_UV / MICROVOLTS_PER_MV} mV, or most seconds above "
          f"{ABSURD_RMS_MV:g} mV RMS; wanted mV (are they µV that the header calls mV, or are the electrodes off?)")


class UnusableRecord(ValueError):
    """A record that can't be read or brought to the layout."""


def prepare_part(part: Path, batch: list[NamedPath], layout: Layout) -> int:
    """Writes a part: a folder with the samples of a batch of records, their rows, and the skipped records."""
    def write(folder: Path) -> None:
        folder.mkdir()
        rows: list[dict] = []
        skipped = []
        with open(folder / "signals", "wb") as signals:
            for name, path in batch:
                start = signals.tell()
                try:
                    rows += append_record(signals, name, path, layout)
                except UnusableRecord as error:
                    signals.seek(start)
                    signals.truncate()
                    skipped.append((f"{name}.hea", str(error)))
        (folder / "rows.json").write_text(json.dumps({"rows": rows, "skipped": skipped}))

    write_atomically(part, write)
    return len(batch)


def append_record(signals: BinaryIO, name: str, path: Path, layout: Layout) -> list[dict]:
    """Appends the samples of a record to a file, block by block.

    Returns:
        A row of the store's table for each window, or one for the whole record.

    Raises:
        UnusableRecord: The record can't be read or brought to the layout, or its samples are not millivolts.
    """
    frame = 2 * len(layout.leads)
    first, clipped = signals.tell() // frame, np.zeros(len(layout.leads), int)
    notes: list[str] = []
    rms: list[np.ndarray] = []
    record, blocks = open_blocks(path, layout)
    for block in blocks:
        microvolts = np.rint(block.signal * MICROVOLTS_PER_MV)
        clipped += (np.abs(microvolts) > MAX_STORED_UV).sum(axis=1)
        rms.append(rms_per_second(block.signal, layout.rate))
        signals.write(np.clip(microvolts, -MAX_STORED_UV, MAX_STORED_UV).T.astype("<i2").tobytes())
        notes += block.notes
    samples = signals.tell() // frame - first
    facts = source_facts(record, layout)
    recorded = [lead in facts["source_leads"] for lead in layout.leads]
    if is_absurd(clipped / samples, np.concatenate(rms, axis=1), recorded):
        raise UnusableRecord(ABSURD)
    notes += [f"{lead}: {count} samples clipped at {MAX_STORED_UV / MICROVOLTS_PER_MV} mV"
              for lead, count in zip(layout.leads, clipped, strict=True) if count]
    window = min(layout.window_samples or samples, samples)
    if rest := samples % window:
        notes.append(f"last {rest / layout.rate:.2f} s left out, shorter than a window")
        signals.seek((first + samples - rest) * frame)
        signals.truncate()
    return [{"name": name, "start": start, "offset": first + start, "length": window, **facts,
             "start_time": iso_time(record, start / layout.rate), "notes": [] if start else notes}
            for start in range(0, samples - rest, window)]


def rms_per_second(signal: np.ndarray, rate: float) -> np.ndarray:
    """The root mean square about the mean of each lead and second of a block (c, t); a part of a second counts too."""
    starts = np.arange(0, signal.shape[1], max(1, round(rate)))
    lengths, signal = np.diff(starts, append=signal.shape[1]), signal.astype(np.float64)
    mean, power = (np.add.reduceat(values, starts, axis=1) / lengths for values in (signal, signal**2))
    return np.sqrt(np.maximum(power - mean**2, 0))


def is_absurd(clipped: np.ndarray, rms: np.ndarray, recorded: list[bool]) -> bool:
    """Whether the amplitudes of a record's leads are not those of an ECG in mV.

    Args:
        clipped: The share of samples that are clipped (leads,).
        rms: Root mean squares in mV (leads, seconds).
        recorded: Which leads the record has; if it has none of them, but only leads to derive them from, all count.
    """
    rows = recorded if any(recorded) else [True] * len(recorded)
    return bool(clipped[rows].mean() > 0.5 or np.median(rms[rows]) > ABSURD_RMS_MV)


def source_facts(record: RecordFile, layout: Layout) -> dict:
    """The values that the store's table has for all windows of a record."""
    return {"rate": record.rate, "samples": record.samples, "comments": record.comments if layout.comments else (),
            "source_leads": recorded_leads(record, layout.leads, layout.lead_map)}


def iso_time(record: RecordFile, seconds: float) -> str | None:
    """The date and time some seconds after a record's start, or the time of day; None if its start is unknown."""
    start = later(record.start_time, seconds)
    return None if start is None else start.isoformat()


def open_blocks(path: Path, layout: Layout) -> tuple[RecordFile, Iterator[Conformed]]:
    """Opens a record and conforms it block by block. Errors become UnusableRecord, which does not end the job."""
    def blocks() -> Iterator[Conformed]:
        try:
            yield from conform_stream(record, spec, layout.missing, refit=False, lead_map=layout.lead_map)
        except Exception as error:
            raise UnusableRecord(error_text(error)) from error

    spec = SignalSpec(leads=layout.leads, rate=layout.rate)
    try:
        record = open_record(path)
    except Exception as error:
        raise UnusableRecord(error_text(error)) from error
    return record, blocks()
