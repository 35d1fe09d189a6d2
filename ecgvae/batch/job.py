"""What jobs over a collection share: progress, a summary, and parts by which they are resumed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ecgvae.data.errors import Remarks
from ecgvae.data.jobs import Parts

Progress = Callable[[int, int], object]


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Summary:
    """The result of a job over a collection.

    Attributes:
        out: The file or folder that was written.
        records: Number of records in it.
        seconds: Their length in seconds of ECG.
        skipped: Records that could not be used, and why.
        noted: Records that were resampled, repaired or unlike the training data: a pair for each note.
    """

    out: Path
    records: int
    seconds: float
    skipped: Remarks = ()
    noted: Remarks = ()


def open_parts(out: Path, fingerprint: dict, overwrite: bool) -> Parts:
    """The parts of an output, in a folder next to it; those of an interrupted job are still there."""
    return Parts(out.with_name(out.name + ".partial"), fingerprint, overwrite)
