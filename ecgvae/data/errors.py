"""Errors of jobs over many records, and checks that jobs share."""

from collections.abc import Sequence
from pathlib import Path

from ecgvae.files import check_free
from ecgvae.wording import one_line

Remarks = tuple[tuple[str, str], ...]  # (record, reason)


class NoUsableRecords(ValueError):
    """No record of a job can be used. `skipped` has the name of each record and the reason."""

    def __init__(self, skipped: Sequence[tuple[str, str]], source: str | Path | None = None):
        place = "" if source is None else f" in {source}"
        first = f"; the first, {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        super().__init__(f"none of {len(skipped)} records{place} can be used{first}")
        self.skipped: Remarks = tuple((path, reason) for path, reason in skipped)


def check_folder(out: str | Path, overwrite: bool) -> Path:
    """The folder to write; NotADirectoryError if it is a file, else the errors of `check_free`."""
    out = Path(out)
    if out.name in ("", ".."):
        out = out.resolve()
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file; wanted a folder for WFDB records")
    check_free(out, overwrite)
    return out


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if there is no message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def error_text(error: Exception) -> str:
    """The message of an error in one line; with its type if it is neither a ValueError nor an OSError."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(item) for item in (error.filename, error.strerror) if item)
    text = one_line(error)
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
