"""Samples of a header without segments: format 16 is read here, other formats by wfdb."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgvae.signal.headers import Channel, Header, file_size
from ecgvae.wording import one_line

MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "v": 1e3}
FLAC_FORMATS = ("508", "516", "524")
# The smallest number of samples that fill whole bytes, and the number of these bytes, by format.
SAMPLES_AND_BYTES = {"8": (1, 1), "16": (1, 2), "24": (1, 3), "32": (1, 4), "61": (1, 2), "80": (1, 1), "160": (1, 2)}
SAMPLES_AND_BYTES |= {"212": (2, 3), "310": (3, 4), "311": (3, 4)}
MIN_FLAC_FRAME_BYTES = 10
MISSING_SAMPLE = -32768


@dataclass(frozen=True, eq=False)
class Segment:
    """The voltage channels of a header without segments; signals are (c, t) float32 in mV."""

    path: str  # without suffix
    header: Header
    samples: int

    @cached_property
    def names(self) -> list[str]:
        """The names of all channels; repeated names get a number, as in "V1#2"."""
        names = [channel.name or f"channel {i}" for i, channel in enumerate(self.header.channels, start=1)]
        if len(set(names)) == len(names):
            return names
        occurrences: Counter[str] = Counter()
        for i, name in enumerate(names):
            occurrences[name] += 1
            names[i] = name if occurrences[name] == 1 else f"{name}#{occurrences[name]}"
        return names

    @cached_property
    def voltages(self) -> list[int]:
        """Positions of the channels that are voltages."""
        return [i for i, channel in enumerate(self.header.channels) if channel.unit.lower() in MV_PER_UNIT]

    @cached_property
    def leads(self) -> tuple[str, ...]:
        """The names of the voltage channels."""
        return tuple([self.names[i] for i in self.voltages])

    @property
    def skipped_channels(self) -> tuple[str, ...]:
        """The names of the other channels, with their units."""
        others = range(len(self.names)) if len(self.voltages) < len(self.names) else ()
        return tuple(
            f"{self.names[i]} ({self.header.channels[i].unit})" for i in others if i not in self.voltages
        )

    def read(self, start: int, stop: int) -> np.ndarray:
        """The samples of the voltage channels from start to stop."""
        if stop <= start or not self.voltages:
            return np.empty((len(self.voltages), max(stop - start, 0)), dtype=np.float32)
        return (_read_format_16 if _is_format_16(self.header) else _read_by_wfdb)(self, start, stop)


def open_segment(path: str, header: Header) -> Segment:
    """Opens the channels of a header. ValueError if its files do not hold the number of samples that it claims."""
    folder = os.path.dirname(path)
    files: dict[str, list[Channel]] = {}
    for channel in header.channels:
        files.setdefault(channel.file, []).append(channel)
    available = {file: _available_samples(folder, file, channels) for file, channels in files.items()}
    if header.samples is None and header.channels[0].format in FLAC_FORMATS:
        raise ValueError(f"{path}.hea does not give the number of samples; wanted it, as its file is FLAC")
    samples = next(iter(available.values())) if header.samples is None else header.samples
    for file, count in available.items():
        if count < samples:
            raise ValueError(f"{os.path.join(folder, file)} holds {count} samples; {path}.hea claims {samples}")
    if max(channel.skew for channel in header.channels) > samples:
        raise ValueError(f"{path}.hea has a skew longer than its {samples} samples")
    return Segment(path, header, samples)


def _available_samples(folder: str, file: str, channels: list[Channel]) -> int:
    """The largest number of frames of these channels that a signal file of this size can hold."""
    path, format_, offset = os.path.join(folder, file), channels[0].format, channels[0].byte_offset
    size = file_size(path)
    if any((channel.format, channel.byte_offset) != (format_, offset) for channel in channels):
        raise ValueError(f"{path} is described in several formats or offsets; wanted one")
    if format_ in FLAC_FORMATS:
        return max(_flac_samples(path, size, len(channels)) - offset, 0) // channels[0].samples_per_frame
    if format_ not in SAMPLES_AND_BYTES:
        raise ValueError(f"{path} has format {format_[:10]}; WFDB has {', '.join((*SAMPLES_AND_BYTES, *FLAC_FORMATS))}")
    group_samples, group_bytes = SAMPLES_AND_BYTES[format_]
    frame_samples = sum(channel.samples_per_frame for channel in channels)
    return max(size - offset, 0) * group_samples // (group_bytes * frame_samples)


def _flac_samples(path: str, size: int, channels: int) -> int:
    """Samples of each channel by STREAMINFO (RFC 9639, section 8.2), limited to what a file of this size can hold."""
    with open(path, "rb") as file:
        info = file.read(42)
    if len(info) < 42 or info[:4] != b"fLaC" or info[4] & 0x7F:
        raise ValueError(f"{path} is not a FLAC file")
    block, packed = int.from_bytes(info[10:12], "big"), int.from_bytes(info[18:26], "big")
    if (found := (packed >> 41 & 7) + 1) != channels:
        raise ValueError(f"{path} has {found} channels; its header says {channels}")
    return min(packed & (1 << 36) - 1, block * (size // MIN_FLAC_FRAME_BYTES))


def _is_format_16(header: Header) -> bool:
    """Whether all samples are in one file of format 16, with one sample per channel and frame."""
    first = header.channels[0]
    return all(
        channel.format == "16" and channel.file == first.file and channel.samples_per_frame == 1 and not channel.skew
        for channel in header.channels
    )


def _read_format_16(segment: Segment, start: int, stop: int) -> np.ndarray:
    channels, rows = segment.header.channels, segment.voltages
    path = os.path.join(os.path.dirname(segment.path), channels[0].file)
    with open(path, "rb") as file:
        file.seek(channels[0].byte_offset + 2 * len(channels) * start)
        content = file.read(2 * len(channels) * (stop - start))
    if len(content) < 2 * len(channels) * (stop - start):
        raise OSError(f"{path} ends before sample {stop}")
    stored = np.frombuffer(content, dtype="<i2").reshape(stop - start, len(channels))
    if len(rows) < len(channels):
        stored = stored[:, rows]
    return _millivolts(stored, [channels[i] for i in rows])


def _millivolts(stored: np.ndarray, channels: list[Channel]) -> np.ndarray:
    """Format 16 (t, c) as (c, t) float32 in mV, bit for bit equal to wfdb's float64 result rounded to float32."""
    signal = stored.T.astype(np.float32, order="C")
    # A quotient of integers below 2**24 is rounded alike in float32 and by way of float64 (Figueroa 1995).
    if all(_is_integer_scale(*scale) for scale in {(c.gain, c.baseline, c.unit) for c in channels}):
        gain, baseline = np.array([(c.gain, c.baseline) for c in channels], dtype=np.float32).T[:, :, None]
        signal -= baseline
        signal /= gain
    else:
        with np.errstate(over="ignore"):
            for row, channel in enumerate(channels):
                column = stored[:, row].astype(np.float64)
                column -= channel.baseline
                column /= channel.gain
                column *= MV_PER_UNIT[channel.unit.lower()]
                signal[row] = column
    if stored.min(initial=0) == MISSING_SAMPLE:
        signal[stored.T == MISSING_SAMPLE] = np.nan
    return signal


def _is_integer_scale(gain: float, baseline: int, unit: str) -> bool:
    """Whether samples are converted to mV with integers that float32 holds exactly."""
    return unit == "mV" and gain.is_integer() and abs(gain) < 1 << 24 and abs(baseline) < 1 << 22


def _read_by_wfdb(segment: Segment, start: int, stop: int) -> np.ndarray:
    import wfdb

    path, header = os.path.abspath(segment.path), segment.header
    if "::" in path or "://" in path:
        raise ValueError(f"{path} looks like a URL to wfdb; wanted a path without :: and ://")
    # Format 8 stores differences, so it is read from the start; wfdb can't read part of a record of unknown length.
    first = 0 if header.samples is None or any(c.format == "8" for c in header.channels) else start
    end = None if header.samples is None else stop
    try:
        with np.errstate(all="ignore"):
            record = wfdb.rdrecord(path, first, end, channels=segment.voltages)
            scale = [MV_PER_UNIT[header.channels[i].unit.lower()] for i in segment.voltages]
            signal = record.p_signal[start - first : stop - first] * scale
            return np.ascontiguousarray(signal.T, dtype=np.float32)
    except Exception as error:  # wfdb raises errors of many types on files it can't read
        reason = one_line(error, 200) or type(error).__name__
        raise ValueError(f"{path}.hea can't be read by wfdb: {reason}") from None
