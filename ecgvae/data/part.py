"""A part of a store in preparation: a batch of records at the store's leads and rate."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ecgvae.data.errors import error_text
from ecgvae.data.layout import Layout
from ecgvae.data.naming import NamedPath
from ecgvae.files import write_atomically
from ecgvae.signal import MICROVOLTS_PER_MV, RecordFile, SignalSpec, conform_stream, open_record, recorded_leads
from ecgvae.signal.amplitudes import AmplitudeMeter, median
from ecgvae.signal.conform import Conformed
from ecgvae.signal.generated import generated_lines
from ecgvae.signal.start_time import later

MAX_STORED_UV = 32767  # -32768 is not used, as it is WFDB's missing sample
ABSURD_RMS_MV, TINY_RMS_MV = 20.0, 0.002  # of the median lead; a hundred times and a hundredth of that of ECG
ABSURD = (f"absurd amplitudes: most samples beyond ±{MAX_STORED_UV / MICROVOLTS_PER_MV} mV, or "
          f"{ABSURD_RMS_MV:g} mV RMS; wanted mV (are they µV that the header calls mV, or are the electrodes off?)")
TINY = "amplitudes of an ECG in another unit: below 2 µV RMS; wanted mV (is the header's unit wrong?)"


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
                    skipped.append((name, str(error)))
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
    meter = AmplitudeMeter(layout.rate)
    record, blocks = open_blocks(path, layout)
    for block in blocks:
        microvolts = np.rint(block.signal * MICROVOLTS_PER_MV)
        clipped += (np.abs(microvolts) > MAX_STORED_UV).sum(axis=1)
        meter.add(block.signal)
        signals.write(np.clip(microvolts, -MAX_STORED_UV, MAX_STORED_UV).T.astype("<i2").tobytes())
        notes += block.notes
    samples = signals.tell() // frame - first
    notes += check_amplitudes(meter, clipped / samples, layout.any_amplitude)
    notes += [f"{lead}: {count} samples clipped at {MAX_STORED_UV / MICROVOLTS_PER_MV} mV"
              for lead, count in zip(layout.leads, clipped, strict=True) if count]
    window = min(layout.window_samples or samples, samples)
    if rest := samples % window:
        notes.append(f"last {rest / layout.rate:.2f} s left out, shorter than a window")
        signals.seek((first + samples - rest) * frame)
        signals.truncate()
    facts = source_facts(record, layout)
    return [{"name": name, "start": start, "offset": first + start, "length": window, **facts,
             "start_time": iso_time(record, start / layout.rate), "notes": [] if start else notes}
            for start in range(0, samples - rest, window)]


def check_amplitudes(meter: AmplitudeMeter, clipped: np.ndarray, any_amplitude: bool) -> list[str]:
    """A note if the unit of a record may be wrong.

    Args:
        meter: The amplitudes of its leads.
        clipped: The share of samples that are clipped (leads,).
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.

    Raises:
        UnusableRecord: Its amplitudes cannot be those of an ECG in mV.
    """
    present, moving = meter.peak_mv > 0, meter.rms_mv > 0
    typical = median(meter.rms_mv[moving]) if moving.any() else 0
    if typical > ABSURD_RMS_MV or (present.any() and clipped[present].mean() > 0.5):
        if not any_amplitude:
            raise UnusableRecord(ABSURD)
        return [ABSURD]
    return [TINY] if 0 < typical < TINY_RMS_MV else []


def source_facts(record: RecordFile, layout: Layout) -> dict:
    """The values that the store's table has for all windows of a record."""
    comments = record.comments if layout.comments else generated_lines(record.comments)
    return {"rate": record.rate, "samples": record.samples, "comments": comments,
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
