"""WFDB records from disk, checked against their files before a sample is read."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgvae.signal.headers import Header, plain_path, read_header, segment_names
from ecgvae.signal.record import Record
from ecgvae.signal.segments import Segment, open_segment

Pieces = tuple[tuple[int, int, Segment], ...]  # first sample, end, and what lies there
MOST_REPETITION = 1000  # samples a record may claim for each one that its segments hold


@dataclass(frozen=True, eq=False)
class RecordFile:
    """A record on disk, read piece by piece; what is said of Record's fields holds here too."""

    name: str
    path: Path  # without suffix
    rate: float
    leads: tuple[str, ...]
    samples: int
    comments: tuple[str, ...] = ()
    skipped_channels: tuple[str, ...] = ()
    pieces: Pieces = field(default=(), repr=False)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Record:
        """The samples from start to stop; memory is bounded by them."""
        start, stop, _ = slice(start, stop).indices(self.samples)
        signal = self._signal(start, max(start, stop))
        return Record(signal, self.rate, self.leads, self.name, self.comments, self.skipped_channels)

    def _signal(self, start: int, stop: int) -> np.ndarray:
        if len(self.pieces) == 1 and self.pieces[0][2].leads == self.leads:
            return self.pieces[0][2].read(start, stop)
        signal = np.full((len(self.leads), stop - start), np.nan, dtype=np.float32)
        for first, end, segment in self.pieces:
            if first < stop and end > start:
                part = segment.read(max(start, first) - first, min(stop, end) - first)
                offset = max(start, first) - start
                for lead, row in zip(segment.leads, part, strict=True):
                    signal[self.leads.index(lead), offset : offset + len(row)] = row
        return signal


def read_record(path: str | Path) -> Record:
    """The record at a path with or without suffix: its voltage channels in mV, missing samples as NaN."""
    return open_record(path).read()


def open_record(path: str | Path) -> RecordFile:
    """A record checked against its files but not read; ValueError or OSError where they disagree.

    Channels with several samples a frame are averaged to the frame rate, as wfdb.rdrecord does it.
    """
    path = _locate(path)
    header = read_header(path)
    whole, samples, pieces = _open_segments(path, header) if header.segments else _open_single(path, header)
    if not whole.leads:
        raise ValueError(f"{path}.hea has no voltages but {', '.join(whole.skipped_channels)}; wanted mV, uV or V")
    if not samples:
        raise ValueError(f"{path}.hea has no samples")
    name = os.path.basename(path)
    described = header.comments, whole.skipped_channels
    return RecordFile(name, Path(path), header.rate, whole.leads, samples, *described, pieces)


def _locate(path: str | Path) -> str:
    """The path without suffix."""
    path = plain_path(path)
    if path.endswith(".hea"):
        return path[:-4]
    if not os.path.exists(f"{path}.hea"):
        stem = os.path.splitext(path)[0]
        if os.path.isfile(path) and os.path.exists(f"{stem}.hea"):
            return stem
        raise FileNotFoundError(f"{path}.hea is not there; wanted a WFDB record")
    return path


def _open_single(path: str, header: Header) -> tuple[Segment, int, Pieces]:
    segment = open_segment(path, header)
    return segment, segment.samples, ((0, segment.samples, segment),)


def _open_segments(path: str, header: Header) -> tuple[Segment, int, Pieces]:
    """The segments of a record: all with the same leads, or with some of those a first, empty one lists."""
    (first, length), *others = header.segments
    layout = None if length or first == "~" else _part_header(path, header, first)
    parts = header.segments if layout is None else others
    names = dict.fromkeys(name for name, _ in parts if name != "~")
    opened = {name: open_segment(_beside(path, name), _part_header(path, header, name)) for name in names}
    if not opened:
        raise ValueError(f"{path}.hea has no samples")
    whole = next(iter(opened.values())) if layout is None else Segment(path, layout, 0)
    for segment in opened.values():
        _check_leads(path, segment, whole, layout is None)
    pieces, samples = [], 0
    for name, length in parts:
        if name != "~":
            if length > opened[name].samples:
                raise ValueError(
                    f"{path}.hea claims {length} samples of {name}, which has {opened[name].samples}"
                )
            pieces.append((samples, samples + length, opened[name]))
        samples += length
    held = sum(segment.samples * len(segment.leads) for segment in opened.values())
    if header.samples not in (None, samples) or samples * len(whole.leads) > MOST_REPETITION * held:
        claim = samples if header.samples is None else header.samples
        raise ValueError(f"{path}.hea claims {claim} samples; its segments don't hold them")
    return whole, samples, tuple(pieces)


def _beside(path: str, name: str) -> str:
    return os.path.join(os.path.dirname(path), name)


def _part_header(path: str, header: Header, name: str) -> Header:
    part = read_header(_beside(path, name))
    if part.segments or part.rate != header.rate:
        raise ValueError(f"{path}.hea names {name}, which has segments itself or another rate")
    return part


def _check_leads(path: str, segment: Segment, whole: Segment, fixed: bool) -> None:
    if (segment.leads != whole.leads) if fixed else not set(segment.leads) <= set(whole.leads):
        leads, wanted = ", ".join(segment.leads), ", ".join(whole.leads)
        raise ValueError(f"{segment.path}.hea has leads {leads}; {path}.hea wants {wanted}")


def find_records(source: str | Path) -> list[Path]:
    """All records at or below a path, without suffix, sorted; segments of long records are not their own."""
    source = plain_path(source)
    if not os.path.isdir(source):
        return [Path(_locate(source))]
    found = []
    for folder, _, files in os.walk(source):
        headers = {name[:-4] for name in files if name.endswith(".hea") and name[0] != "."}
        parts = {part for name in headers for part in segment_names(os.path.join(folder, name))}
        found += [Path(folder, name) for name in headers - parts if not name.endswith("_layout")]
    if not found:
        raise ValueError(f"no WFDB records (.hea) under {source}")
    return sorted(found)
