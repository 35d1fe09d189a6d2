"""Markdown of cards: paragraphs, lists and tables."""

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 120
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")


def wrap(text: str, indent: str = "") -> str:
    """The text in lines of at most 120 characters; the lines after the first are indented."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def bullet(text: str) -> str:
    """An item of a list."""
    return wrap(f"- {text}", "  ")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, whose rows have a cell for each column."""
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def number(value: float | None, digits: int) -> str:
    """A number with so many digits after the point; a dash if it is missing."""
    return "–" if value is None else f"{value:.{digits}f}"


def listed(names: Iterable[str]) -> str:
    """Names as "I, II and V1–V6"."""
    *others, last = ", ".join(names).replace(", ".join(CHEST_LEADS), "V1–V6").split(", ")
    return f"{', '.join(others)} and {last}" if others else last
