"""WFDB header files, read with the grammar of wfdb and checked before their values are used."""

import os
import re
import stat
from collections.abc import Sequence
from typing import NamedTuple

from ecgvae.signal.start_time import StartTime, parse_start_time

MAX_HEADER_BYTES = 1_000_000
MAX_LINE_CHARACTERS = 1000
MAX_CHANNELS = 1024

# The patterns accept what wfdb accepts; possessive quantifiers keep them linear on hostile lines.
_RECORD = re.compile(
    r"[-\w]++/?(\d*+)[ \t]++(-?\d++)[ \t]*+(-?\d*+\.?\d*+)"  # segments, channels, rate
    r"/*+-?\d*+\.?\d*+\(?-?\d*+\.?\d*+\)?[ \t]*+(-?\d*+)",  # samples
    re.ASCII,
)
_SIGNAL = re.compile(
    r"(~?[-\w]*+\.?\w*+)[ \t]++(\d++)x?(\d*+):?(\d*+)\+?(\d*+)[ \t]*+"  # file, format, frame, skew, offset
    r"(-?\d*+\.?\d*+e?[+-]?\d*+)\(?(-?\d*+)\)?/?([\w^\-?%/]*+)[ \t]*+"  # gain, baseline, unit
    r"\d*+[ \t]*+(-?\d*+)[ \t]*+-?\d*+[ \t]*+-?\d*+[ \t]*+\d*+[ \t]*+([^\t\f\v]*)",  # adc zero, name
    re.ASCII,
)
_SEGMENT = re.compile(r"([-\w]*+~?)[ \t]++(\d++)", re.ASCII)
_SEGMENTED = re.compile(rb"^\s*[-\w]+/\d", re.MULTILINE)  # the first line of a record in segments
_INVENTED = re.compile(r"ecgvae: invented leads: (.+)")  # a comment; see `invented_comment`
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


class Channel(NamedTuple):
    """A signal line: the file and format of a channel's samples, and their conversion to volts."""

    file: str
    format: str
    samples_per_frame: int
    skew: int  # in samples
    byte_offset: int
    gain: float  # stored steps per unit
    baseline: int
    unit: str
    name: str


class Header(NamedTuple):
    """A header file: the channels of a record, or (name, samples) of the segments of a record in segments.

    The comments do not include that about invented leads.
    """

    rate: float
    samples: int | None
    channels: tuple[Channel, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]
    start_time: StartTime = None
    invented_leads: tuple[str, ...] = ()


def file_size(path: str) -> int:
    """Size in bytes of a regular file, or of the one that a link leads to.

    Raises:
        ValueError: The file is not a regular one, or the link leads out of its folder.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        real, folder = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([real, folder]) != folder:
            raise ValueError(f"{path} is a link that leads out of its folder; wanted a file in it")
        status = os.stat(real)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is not a regular file")
    return status.st_size


def plain_path(path: str | os.PathLike[str]) -> str:
    """A path as text; ValueError if it is not a path, or has control characters, which would break messages."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"{path!r:.60} is not a path; wanted a text or a Path")
    path = os.fspath(path)
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} has control characters; wanted a plain path")
    return path


def read_header(path: str) -> Header:
    """Reads the header of the record at a path without suffix; ValueError if it is not a WFDB header."""
    content = _read_bytes(f"{path}.hea")
    try:
        return parse_header(content)
    except ValueError as error:
        raise ValueError(f"{path}.hea: {error}") from None


def segment_names(path: str) -> set[str]:
    """The names of the segments in a header; none if the record has no segments or its header can't be read."""
    try:
        content = _read_bytes(f"{path}.hea")
        return {name for name, _ in parse_header(content).segments} if _SEGMENTED.search(content) else set()
    except (ValueError, OSError):
        return set()


def _read_bytes(path: str) -> bytes:
    size = file_size(path)
    if size > MAX_HEADER_BYTES:
        raise ValueError(f"{path} has {size} bytes; a header has at most {MAX_HEADER_BYTES}")
    with open(path, "rb", buffering=0) as file:
        return file.read(size)


def _lines(content: bytes) -> tuple[list[str], tuple[str, ...]]:
    """Header lines and comments. As in wfdb, header lines keep ASCII only, but µV becomes uV instead of V."""
    if b"\0" in content:
        raise ValueError("binary data; wanted a WFDB header")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    comments = tuple(line.strip(" \t#") for line in map(str.strip, text.splitlines()) if line.startswith("#"))
    if not text.isascii():
        text = re.sub("/[\u00b5\u03bc]V", "/uV", text)
        text = text.encode("ascii", "ignore").decode()
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if max(map(len, lines), default=0) > MAX_LINE_CHARACTERS:
        raise ValueError(f"a line of more than {MAX_LINE_CHARACTERS} characters; wanted a WFDB header")
    return lines, comments


def parse_header(content: bytes) -> Header:
    """The header in the bytes of its file; ValueError if it breaks the format or its numbers are impossible."""
    lines, comments = _lines(content)
    if not lines:
        raise ValueError("empty; wanted a WFDB header")
    match = _RECORD.match(lines[0])
    if match is None:
        raise ValueError(f"starts with {lines[0][:40]!r}; wanted a WFDB record line")
    segments, channels, rate, samples = match.groups()
    rate, samples = float(rate or 250), int(samples) if samples else None  # 250 Hz is WFDB's default
    if not 0 < rate < 1e9 or (samples is not None and not 0 <= samples < 1 << 48):
        raise ValueError(f"{samples} samples at {rate} Hz; wanted positive numbers")
    about = _without_invented(comments), parse_start_time(lines[0][match.end():]), _invented_leads(comments)
    count = int(segments or channels)
    if len(lines) - 1 != count or count < 1:
        raise ValueError(f"{len(lines) - 1} lines of signals or segments; its first line says {count}")
    if segments:
        return Header(rate, samples, (), tuple(map(_segment, lines[1:])), *about)
    if count > MAX_CHANNELS:
        raise ValueError(f"{count} signals; wanted at most {MAX_CHANNELS}")
    return Header(rate, samples, tuple(map(_channel, lines[1:])), (), *about)


def invented_comment(leads: Sequence[str]) -> str:
    """The comment of a header that says which leads a model has invented."""
    return f"ecgvae: invented leads: {', '.join(leads)}"


def _invented_leads(comments: Sequence[str]) -> tuple[str, ...]:
    """The invented leads according to a header's comments."""
    matches = filter(None, map(_INVENTED.fullmatch, comments))
    return tuple(dict.fromkeys(lead.strip() for match in matches for lead in match[1].split(",")))


def _without_invented(comments: Sequence[str]) -> tuple[str, ...]:
    return tuple(comment for comment in comments if not _INVENTED.fullmatch(comment))


def _channel(line: str) -> Channel:
    match = _SIGNAL.match(line)
    if match is None:
        raise ValueError(f"line {line[:40]!r}; wanted a WFDB signal line")
    file, format_, samples_per_frame, skew, byte_offset, gain, baseline, unit, adc_zero, name = match.groups()
    layout = int(samples_per_frame or 1), int(skew or 0), int(byte_offset or 0)
    scale = float(gain or 200) or 200.0, int(baseline or adc_zero or 0)  # a gain of 0 means 200
    channel = Channel(file, format_, *layout, *scale, unit or "mV", name)
    if channel.samples_per_frame < 1 or not abs(channel.gain) < float("inf") or abs(channel.baseline) >= 1 << 32:
        raise ValueError(f"line {line[:40]!r}; wanted finite numbers")
    return channel


def _segment(line: str) -> tuple[str, int]:
    match = _SEGMENT.match(line)
    if match is None:
        raise ValueError(f"line {line[:40]!r}; wanted a WFDB segment line")
    return match[1], int(match[2])
