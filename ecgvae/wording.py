"""Counts, names, values and errors in words, for messages."""

from collections.abc import Iterable

MAX_QUOTED_CHARACTERS = 60
MAX_NAME_CHARACTERS = 200


def count(number: int, noun: str) -> str:
    """A count with its noun, as in "1 record" or "2,155 records"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def count_of(number: int, total: int, noun: str) -> str:
    """A number and, where it differs, the total, as in "19 records" or "6 of 19 records"."""
    return count(number, noun) if number == total else f"{number:,} of {count(total, noun)}"


def count_is(number: int, noun: str) -> str:
    """A count as the subject of a sentence, as in "1 record is" or "19 records are"."""
    return f"{count(number, noun)} {'is' if number == 1 else 'are'}"


def quote(value: object) -> str:
    """A value in a message: what Python writes for it, in one line and cut if it is long."""
    return one_line(repr(value), MAX_QUOTED_CHARACTERS)


def plain(text: str) -> str:
    """A name in a message: as it is, or cut if it is long, with escapes such as \\x1b for what is not printable."""
    return (text if text.isprintable() else repr(text)[1:-1])[:MAX_NAME_CHARACTERS]


def listed(names: Iterable[str]) -> str:
    """Names in a message, separated by commas; see `plain`."""
    return ", ".join(map(plain, names))


def one_line(text: object, max_characters: int | None = None) -> str:
    """The text of an error or a value in one line, cut if it is too long."""
    return " ".join(str(text).split())[:max_characters]
