"""Errors of jobs over many records."""

from collections.abc import Sequence
from pathlib import Path

Remarks = tuple[tuple[str, str], ...]  # (record, reason)


class NoUsableRecords(ValueError):
    """No record of a job can be used. `skipped` has the path of each record and the reason."""

    def __init__(self, skipped: Sequence[tuple[str, str]], source: str | Path | None = None):
        place = "" if source is None else f" in {source}"
        first = f"; the first, {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        super().__init__(f"none of {len(skipped)} records{place} can be used{first}")
        self.skipped: Remarks = tuple((path, reason) for path, reason in skipped)


def error_text(error: Exception) -> str:
    """The message of an error in one line, with its type where the error is not one that a user can cause."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(item) for item in (error.filename, error.strerror) if item)
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
