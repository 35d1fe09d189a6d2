"""WFDB header files, with the grammar of wfdb and none of its trust."""

import os
import re
import stat
from typing import NamedTuple

LARGEST_HEADER = 1_000_000  # bytes
LONGEST_LINE = 1000
MOST_CHANNELS = 1024

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
_LONG = re.compile(rb"^\s*[-\w]+/\d", re.MULTILINE)  # what the header of a record in segments has
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")


class Channel(NamedTuple):
    """One signal line: where the samples lie and how they become volts."""

    file: str
    format: str
    frame: int  # samples a frame
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    name: str


class Header(NamedTuple):
    """A header file: channels of a plain record, or (name, samples) of the segments of a long one."""

    rate: float
    samples: int | None
    channels: tuple[Channel, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]


def file_size(path: str) -> int:
    """Bytes of a regular file that really lies in its folder (or below it, behind a link)."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        real, folder = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([real, folder]) != folder:
            raise ValueError(f"{path} is a link that leads out of its folder; wanted a file in it")
        status = os.stat(real)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no regular file")
    return status.st_size


def plain_path(path: str | os.PathLike[str]) -> str:
    """A path that fits on one line of a message."""
    path = os.fspath(path)
    if _CONTROL.search(path):
        raise ValueError(f"{path!r} has control characters; wanted a plain path")
    return path


def read_header(path: str) -> Header:
    """The header of a record, given by its path without suffix."""
    content = _content(f"{path}.hea")
    try:
        return parse_header(content)
    except ValueError as error:
        raise ValueError(f"{path}.hea: {error}") from None


def segment_names(path: str) -> set[str]:
    """The segments a header names; none where it has none or can't be read."""
    try:
        content = _content(f"{path}.hea")
        return {name for name, _ in parse_header(content).segments} if _LONG.search(content) else set()
    except (ValueError, OSError):
        return set()


def _content(file: str) -> bytes:
    size = file_size(file)
    if size > LARGEST_HEADER:
        raise ValueError(f"{file} has {size} bytes; a header has at most {LARGEST_HEADER}")
    with open(file, "rb", buffering=0) as stream:
        return stream.read(size)


def _lines(content: bytes) -> tuple[list[str], tuple[str, ...]]:
    """Header lines and comments; wfdb drops what isn't ASCII from the former, so that µV would become V."""
    if b"\0" in content:
        raise ValueError("binary data; wanted a WFDB header")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = map(str.strip, text.splitlines())
    comments = tuple(line.strip(" \t#") for line in lines if line.startswith("#"))
    if not text.isascii():
        text = re.sub("/[\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}]V", "/uV", text)
        text = text.encode("ascii", "ignore").decode()
    lines = [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if max(map(len, lines), default=0) > LONGEST_LINE:
        raise ValueError(f"a line of more than {LONGEST_LINE} characters; wanted a WFDB header")
    return lines, comments


def parse_header(content: bytes) -> Header:
    """Header from the bytes of its file; ValueError where it breaks the format or describes nonsense."""
    lines, comments = _lines(content)
    if not lines:
        raise ValueError("empty; wanted a WFDB header")
    match = _RECORD.match(lines[0])
    if match is None:
        raise ValueError(f"starts with {lines[0][:40]!r}; wanted a WFDB record line")
    segments, channels, rate, samples = match.groups()
    rate, samples = float(rate or 250), int(samples) if samples else None
    if not 0 < rate < 1e9 or (samples is not None and not 0 <= samples < 1 << 48):
        raise ValueError(f"{samples} samples at {rate} Hz; wanted positive numbers")
    count = int(segments or channels)
    if len(lines) - 1 != count or count < 1:
        raise ValueError(f"{len(lines) - 1} lines of signals or segments; its first line says {count}")
    if segments:
        return Header(rate, samples, (), tuple(map(_segment, lines[1:])), comments)
    if count > MOST_CHANNELS:
        raise ValueError(f"{count} signals; wanted at most {MOST_CHANNELS}")
    return Header(rate, samples, tuple(map(_channel, lines[1:])), (), comments)


def _channel(line: str) -> Channel:
    match = _SIGNAL.match(line)
    if match is None:
        raise ValueError(f"line {line[:40]!r}; wanted a WFDB signal line")
    file, form, frame, skew, offset, gain, baseline, unit, zero, name = match.groups()
    numbers = int(frame or 1), int(skew or 0), int(offset or 0)
    scale = float(gain or 200) or 200.0, int(baseline or zero or 0)  # a gain of 0 means 200
    channel = Channel(file, form, *numbers, *scale, unit or "mV", name)
    if channel.frame < 1 or not abs(channel.gain) < float("inf") or abs(channel.baseline) >= 1 << 32:
        raise ValueError(f"line {line[:40]!r}; wanted finite numbers")
    return channel


def _segment(line: str) -> tuple[str, int]:
    match = _SEGMENT.match(line)
    if match is None:
        raise ValueError(f"line {line[:40]!r}; wanted a WFDB segment line")
    return match[1], int(match[2])
