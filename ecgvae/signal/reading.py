"""Reading WFDB records from disk. A header is checked against its signal files before samples are read."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ecgvae.signal.formats import describe_file, describe_folder, other_formats
from ecgvae.signal.headers import Header, plain_path, read_header, segment_names
from ecgvae.signal.record import Record, extent
from ecgvae.signal.segments import Segment, open_segment
from ecgvae.signal.start_time import StartTime, later

Pieces = tuple[tuple[int, int, Segment], ...]  # start and stop in the record, in samples, and the segment there
MAX_REPETITION = 1000  # of segments: a record may claim at most this multiple of their samples


@dataclass(frozen=True)
class Search:
    """The records at or below a path (without suffix, sorted), and files there whose signals are in other formats."""

    paths: list[Path]
    others: Mapping[str, int] = field(default_factory=dict)  # number of files by suffix


@dataclass(frozen=True, eq=False)
class RecordFile:
    """A record on disk, of which any part can be read. It has the fields of `Record` except the signal."""

    name: str
    path: Path  # without suffix
    rate: float
    leads: tuple[str, ...]
    samples: int
    comments: tuple[str, ...] = ()
    skipped_channels: tuple[str, ...] = ()
    start_time: StartTime = None
    invented_leads: tuple[str, ...] = ()
    pieces: Pieces = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"RecordFile({self.name!r}, {extent(len(self.leads), self.duration, self.rate)})"

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.samples / self.rate

    def read(self, start: int = 0, stop: int | None = None) -> Record:
        """Reads the samples from start to stop. The memory needed is proportional to their number."""
        start, stop, _ = slice(start, stop).indices(self.samples)
        signal = self._signal(start, max(start, stop))
        texts = self.name, self.comments, self.skipped_channels
        return Record(signal, self.rate, self.leads, *texts, later(self.start_time, start / self.rate),
                      self.invented_leads)

    def _signal(self, start: int, stop: int) -> np.ndarray:
        if len(self.pieces) == 1 and self.pieces[0][2].leads == self.leads:
            return self.pieces[0][2].read(start, stop)
        signal = np.full((len(self.leads), stop - start), np.nan, dtype=np.float32)
        for first, end, segment in self.pieces:
            if first < stop and end > start:
                overlap = segment.read(max(start, first) - first, min(stop, end) - first)
                offset = max(start, first) - start
                for lead, row in zip(segment.leads, overlap, strict=True):
                    signal[self.leads.index(lead), offset : offset + len(row)] = row
        return signal


def read_record(path: str | Path) -> Record:
    """Reads a WFDB record: its voltage channels in mV, missing samples as NaN.

    Args:
        path: The record's path with or without suffix.

    Raises:
        ValueError: The files contradict each other, have no voltages, or are not WFDB.
        FileNotFoundError: There is no such record.

    Example:
        >>> ecgvae.read_record("records/00001")
        Record('00001', 12 leads, 10 s at 500 Hz)
    """
    return open_record(path).read()


def open_record(path: str | Path) -> RecordFile:
    """Opens a WFDB record, so that parts of it can be read.

    Channels with several samples per frame are averaged to the frame rate, as wfdb.rdrecord does.

    Args:
        path: The record's path with or without suffix.

    Raises:
        ValueError: The files contradict each other, have no voltages, or are not WFDB.
        FileNotFoundError: There is no such record.
    """
    path = _without_suffix(path)
    header = read_header(path)
    layout, samples, pieces = _open_segments(path, header) if header.segments else _open_single(path, header)
    if not layout.leads:
        channels = ", ".join(layout.skipped_channels)
        raise ValueError(f"{path}.hea has no voltages but {channels}; wanted mV, uV or V")
    if not samples:
        raise ValueError(f"{path}.hea has no samples")
    invented = tuple(lead for lead in layout.leads if lead in header.invented_leads)
    facts = header.comments, layout.skipped_channels, header.start_time, invented
    return RecordFile(os.path.basename(path), Path(path), header.rate, layout.leads, samples, *facts, pieces)


def _without_suffix(path: str | Path) -> str:
    """The path of an existing header, without suffix."""
    path = plain_path(path)
    if path.endswith(".hea"):
        return path[:-4]
    if os.path.exists(f"{path}.hea"):
        return path
    is_file, stem = os.path.isfile(path), os.path.splitext(path)[0]
    if is_file and os.path.exists(f"{stem}.hea"):
        return stem
    if description := describe_folder(path, os.listdir(path)) if os.path.isdir(path) else describe_file(path):
        raise ValueError(description)
    raise FileNotFoundError(f"{stem if is_file else path}.hea is not there; wanted a WFDB record")


def _open_single(path: str, header: Header) -> tuple[Segment, int, Pieces]:
    segment = open_segment(path, header)
    return segment, segment.samples, ((0, segment.samples, segment),)


def _open_segments(path: str, header: Header) -> tuple[Segment, int, Pieces]:
    """The segments of a record.

    All have the same leads, or a first segment without samples (the layout segment) lists the leads of all.
    """
    (first, length), *others = header.segments
    layout_header = None if length or first == "~" else _segment_header(path, header, first)
    segments = header.segments if layout_header is None else others
    names = dict.fromkeys(name for name, _ in segments if name != "~")
    opened = {name: open_segment(_sibling(path, name), _segment_header(path, header, name)) for name in names}
    if not opened:
        raise ValueError(f"{path}.hea has no samples")
    layout = next(iter(opened.values())) if layout_header is None else Segment(path, layout_header, 0)
    for segment in opened.values():
        _check_leads(path, segment, layout, equal=layout_header is None)
    pieces, samples = [], 0
    for name, length in segments:
        if name != "~":
            if length > opened[name].samples:
                raise ValueError(
                    f"{path}.hea claims {length} samples of {name}, which has {opened[name].samples}"
                )
            pieces.append((samples, samples + length, opened[name]))
        samples += length
    available = sum(segment.samples * len(segment.leads) for segment in opened.values())
    if header.samples not in (None, samples) or samples * len(layout.leads) > MAX_REPETITION * available:
        claim = samples if header.samples is None else header.samples
        raise ValueError(f"{path}.hea claims {claim} samples; its segments don't hold them")
    return layout, samples, tuple(pieces)


def _sibling(path: str, name: str) -> str:
    return os.path.join(os.path.dirname(path), name)


def _segment_header(path: str, header: Header, name: str) -> Header:
    segment = read_header(_sibling(path, name))
    if segment.segments or segment.rate != header.rate:
        raise ValueError(f"{path}.hea names {name}, which has segments itself or another rate")
    return segment


def _check_leads(path: str, segment: Segment, layout: Segment, equal: bool) -> None:
    """Raises ValueError if the leads of a segment are not those of the layout, or if not `equal`, not among them."""
    if (segment.leads != layout.leads) if equal else not set(segment.leads) <= set(layout.leads):
        leads, wanted = ", ".join(segment.leads), ", ".join(layout.leads)
        raise ValueError(f"{segment.path}.hea has leads {leads}; {path}.hea wants {wanted}")


def find_records(source: str | Path) -> list[Path]:
    """Finds all WFDB records at or below a path. The segments of a record are not records themselves.

    Args:
        source: A record, or a folder, which is searched with all its subfolders.

    Returns:
        Their paths without suffix, sorted.

    Raises:
        ValueError: There are no records. The message says how to convert files of another known format.
        FileNotFoundError: There is no such path.
    """
    return search_records(source).paths


def search_records(source: str | Path) -> Search:
    """Finds all WFDB records at or below a path, as `find_records`, and counts signals in other formats."""
    source = plain_path(source)
    if not os.path.isdir(source):
        return Search([Path(_without_suffix(source))])
    found: list[Path] = []
    others: Counter[str] = Counter()
    for folder, _, files in os.walk(source):
        headers = {name[:-4] for name in files if name.endswith(".hea") and name[0] != "."}
        segments = {segment for name in headers for segment in segment_names(os.path.join(folder, name))}
        found += [Path(folder, name) for name in headers - segments if not name.endswith("_layout")]
        others += other_formats(files)
    if not found:
        names = (name for _, _, files in os.walk(source) for name in files)
        raise ValueError(describe_folder(source, names) or f"no WFDB records (.hea) under {source}")
    return Search(sorted(found), others)
