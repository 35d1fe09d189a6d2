"""The date and time of a record's first sample, as WFDB headers write it."""

import re
from datetime import date, datetime, time, timedelta

StartTime = datetime | time | None  # a time of day where the date is unknown

_TIME = re.compile(r"(?:(?:(\d{1,2}):)?(\d{1,2}):)?(\d{1,2})(?:\.(\d{1,6}))?", re.ASCII)  # [[hours:]minutes:]seconds
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)


def is_start_time(value: object) -> bool:
    """Whether a value is a date and time, a time of day, or None; without a time zone, which WFDB does not have."""
    return value is None or (isinstance(value, datetime | time) and value.tzinfo is None and value == value)  # no NaT


def parse_start_time(text: str) -> StartTime:
    """The start time at the end of a header's first line, as 13:05:00 or 13:05:00.5 24/12/2020; None for other text."""
    parts = text.split()
    match = _TIME.fullmatch(parts[0]) if parts else None
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups(default="0")
    day = _DATE.fullmatch(parts[1]) if len(parts) > 1 else None
    try:
        start = time(int(hours), int(minutes), int(seconds), int(fraction.ljust(6, "0")))
        return start if day is None else datetime.combine(date(*map(int, day.groups()[::-1])), start)
    except ValueError:  # no such time or date
        return None


def format_start_time(start: StartTime) -> str:
    """A start time as WFDB headers write it; empty if it is unknown."""
    if start is None:
        return ""
    text = f"{start:%H:%M:%S}" + (f".{start.microsecond:06}".rstrip("0") if start.microsecond else "")
    return f"{text} {start.day:02}/{start.month:02}/{start.year:04}" if isinstance(start, datetime) else text


def iso_to_start_time(text: str | None) -> StartTime:
    """A start time from the text of its `isoformat()`; ValueError for other texts."""
    if text is None:
        return None
    start = datetime.fromisoformat(text) if "T" in text else time.fromisoformat(text)
    if start.tzinfo is not None:
        raise ValueError(f"the start time {text:.40} has a time zone; wanted local time")
    return start


def later(start: StartTime, seconds: float) -> StartTime:
    """A start time some seconds later. A time of day passes midnight; a date after the year 9999 is unknown."""
    if start is None or not seconds:
        return start
    try:
        if isinstance(start, datetime):
            return start + timedelta(seconds=seconds)
        return (datetime.combine(date(2000, 1, 1), start) + timedelta(seconds=seconds)).time()
    except OverflowError:
        return None
