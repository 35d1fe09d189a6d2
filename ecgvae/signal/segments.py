"""The samples one plain header describes: format 16 directly, every other form by wfdb."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgvae.signal.headers import Channel, Header, file_size

MILLIVOLTS = {"mv": 1.0, "uv": 1e-3, "v": 1e3}
FLAC = ("508", "516", "524")
# (samples, bytes they take) of the other formats
FORMATS = {"8": (1, 1), "16": (1, 2), "24": (1, 3), "32": (1, 4), "61": (1, 2), "80": (1, 1), "160": (1, 2)}
FORMATS |= {"212": (2, 3), "310": (3, 4), "311": (3, 4)}
SMALLEST_FLAC_FRAME = 10  # bytes
MISSING = -32768


@dataclass(frozen=True, eq=False)
class Segment:
    """The voltage channels of a header without segments; signals are (c, t) float32 in mV."""

    path: str  # without suffix
    header: Header
    samples: int

    @cached_property
    def names(self) -> list[str]:
        """The names of all channels, different from one another."""
        names = [channel.name or f"channel {i}" for i, channel in enumerate(self.header.channels, start=1)]
        if len(set(names)) == len(names):
            return names
        seen = Counter()
        for i, name in enumerate(names):
            seen[name] += 1
            names[i] = name if seen[name] == 1 else f"{name}#{seen[name]}"
        return names

    @cached_property
    def voltages(self) -> list[int]:
        """The channels that are voltages."""
        return [i for i, channel in enumerate(self.header.channels) if channel.unit.lower() in MILLIVOLTS]

    @cached_property
    def leads(self) -> tuple[str, ...]:
        return tuple([self.names[i] for i in self.voltages])

    @property
    def skipped_channels(self) -> tuple[str, ...]:
        """The other channels, with their units."""
        others = range(len(self.names)) if len(self.voltages) < len(self.names) else ()
        return tuple(
            f"{self.names[i]} ({self.header.channels[i].unit})" for i in others if i not in self.voltages
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        if stop <= start or not self.voltages:
            return np.empty((len(self.voltages), max(stop - start, 0)), dtype=np.float32)
        return (_read_plain if _is_plain(self.header) else _read_by_wfdb)(self, start, stop)


def open_segment(path: str, header: Header) -> Segment:
    """The channels of a header whose files really hold what it claims."""
    folder = os.path.dirname(path)
    files: dict[str, list[Channel]] = {}
    for channel in header.channels:
        files.setdefault(channel.file, []).append(channel)
    held = {file: _held(folder, file, channels) for file, channels in files.items()}
    if header.samples is None and header.channels[0].format in FLAC:
        raise ValueError(f"{path}.hea doesn't say how many samples its FLAC file has; wanted their number")
    samples = next(iter(held.values())) if header.samples is None else header.samples
    for file, available in held.items():
        if available < samples:
            raise ValueError(
                f"{os.path.join(folder, file)} holds {available} samples; {path}.hea claims {samples}"
            )
    if max(channel.skew for channel in header.channels) > samples:
        raise ValueError(f"{path}.hea has a skew longer than its {samples} samples")
    return Segment(path, header, samples)


def _held(folder: str, file: str, channels: list[Channel]) -> int:
    """How many frames of these channels a signal file has room for."""
    path, form, offset = os.path.join(folder, file), channels[0].format, channels[0].offset
    size = file_size(path)
    if any((channel.format, channel.offset) != (form, offset) for channel in channels):
        raise ValueError(f"{path} is described in several formats or offsets; wanted one")
    if form in FLAC:
        return max(_flac_samples(path, size, len(channels)) - offset, 0) // channels[0].frame
    if form not in FORMATS:
        raise ValueError(f"{path} has format {form[:10]}; WFDB has {', '.join((*FORMATS, *FLAC))}")
    count, taken = FORMATS[form]
    return max(size - offset, 0) * count // (taken * sum(channel.frame for channel in channels))


def _flac_samples(path: str, size: int, channels: int) -> int:
    """Samples a channel by STREAMINFO (RFC 9639, section 8.2), where the file is large enough for them."""
    with open(path, "rb") as file:
        info = file.read(42)
    if len(info) < 42 or info[:4] != b"fLaC" or info[4] & 0x7F:
        raise ValueError(f"{path} is no FLAC file")
    block, packed = int.from_bytes(info[10:12], "big"), int.from_bytes(info[18:26], "big")
    if (packed >> 41 & 7) + 1 != channels:
        raise ValueError(f"{path} has {(packed >> 41 & 7) + 1} channels; its header says {channels}")
    return min(packed & (1 << 36) - 1, block * (size // SMALLEST_FLAC_FRAME))


def _is_plain(header: Header) -> bool:
    """Whether all samples stand one after the other in one file of format 16."""
    first = header.channels[0]
    return all(
        channel.format == "16" and channel.file == first.file and channel.frame == 1 and not channel.skew
        for channel in header.channels
    )


def _read_plain(segment: Segment, start: int, stop: int) -> np.ndarray:
    channels, rows = segment.header.channels, segment.voltages
    path = os.path.join(os.path.dirname(segment.path), channels[0].file)
    with open(path, "rb") as file:
        file.seek(channels[0].offset + 2 * len(channels) * start)
        content = file.read(2 * len(channels) * (stop - start))
    if len(content) < 2 * len(channels) * (stop - start):
        raise OSError(f"{path} ends before sample {stop}")
    stored = np.frombuffer(content, dtype="<i2").reshape(stop - start, len(channels))
    if len(rows) < len(channels):
        stored = stored[:, rows]
    return _millivolts(stored, [channels[i] for i in rows])


def _millivolts(stored: np.ndarray, channels: list[Channel]) -> np.ndarray:
    """Format 16 (t, c) as (c, t) float32, to the bit what wfdb computes in float64."""
    signal = stored.T.astype(np.float32, order="C")
    # Between whole numbers of less than 24 bits float32 rounds as float64 does (Figueroa 1995).
    if all(_is_whole(*scale) for scale in {(c.gain, c.baseline, c.unit) for c in channels}):
        gain, baseline = np.array([(c.gain, c.baseline) for c in channels], dtype=np.float32).T[:, :, None]
        signal -= baseline
        signal /= gain
    else:
        with np.errstate(over="ignore"):
            for row, channel in enumerate(channels):
                column = stored[:, row].astype(np.float64)
                column -= channel.baseline
                column /= channel.gain
                column *= MILLIVOLTS[channel.unit.lower()]
                signal[row] = column
    if stored.min(initial=0) == MISSING:
        signal[stored.T == MISSING] = np.nan
    return signal


def _is_whole(gain: float, baseline: int, unit: str) -> bool:
    return unit == "mV" and gain.is_integer() and abs(gain) < 1 << 24 and abs(baseline) < 1 << 22


def _read_by_wfdb(segment: Segment, start: int, stop: int) -> np.ndarray:
    import wfdb

    path, header = os.path.abspath(segment.path), segment.header
    if "::" in path or "://" in path:
        raise ValueError(f"{path} looks like a URL to wfdb; wanted a path without :: and ://")
    # Format 8 holds differences, and wfdb can't cut a record of unknown length.
    first = 0 if header.samples is None or any(c.format == "8" for c in header.channels) else start
    end = None if header.samples is None else stop
    try:
        with np.errstate(all="ignore"):
            record = wfdb.rdrecord(path, first, end, channels=segment.voltages)
            scale = [MILLIVOLTS[header.channels[i].unit.lower()] for i in segment.voltages]
            signal = record.p_signal[start - first : stop - first] * scale
            return np.ascontiguousarray(signal.T, dtype=np.float32)
    except Exception as error:  # wfdb raises all kinds on files it doesn't understand
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}.hea can't be read by wfdb: {reason[:200]}") from None
