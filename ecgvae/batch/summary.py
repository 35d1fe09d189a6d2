"""The result of a job over a collection."""

from dataclasses import dataclass
from pathlib import Path

from ecgvae.data.errors import Remarks


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

    @property
    def total(self) -> int:
        """Number of records of the job, with those that were skipped."""
        return self.records + len(self.skipped)
