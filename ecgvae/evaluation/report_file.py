"""The file of reports in the folder of a model or a prior, from which its card is made."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError

from ecgvae.files import read_json, write_atomically
from ecgvae.settings import Settings, describe_error
from ecgvae.wording import plain

FILE = "evaluation.json"


def finite(value: Any) -> Any:
    """The value, or None for nan and infinity, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(finite)]


class SavedReport(Settings):
    """A report about the model or prior with an identity, on a split of a store."""

    identity: str
    split: str


AnyReport = TypeVar("AnyReport", bound=SavedReport)


@dataclass(frozen=True)
class ReportFile(Generic[AnyReport]):
    """The reports of a model or a prior, by split.

    Attributes:
        folder: Its folder.
        kind: "model" or "prior".
        identity: Its identity, which that of each report must be.
        schema: Reports by split.
    """

    folder: Path
    kind: str
    identity: str
    schema: TypeAdapter[dict[str, AnyReport]]

    def read(self) -> dict[str, AnyReport]:
        """The reports; none without a file.

        Raises:
            ValueError: The file is damaged, or has reports of another model or prior.
        """
        path = self.folder / FILE
        if not path.exists():
            return {}
        try:
            reports = self.schema.validate_python(read_json(path, "reports of evaluations"))
        except ValidationError as error:
            raise ValueError(f"{path} is damaged: {describe_error(error)}") from None
        if others := {report.identity for report in reports.values()} - {self.identity}:
            raise ValueError(f"{path} has reports of the {self.kind} {plain(others.pop())}; this one is "
                             f"{self.identity}")
        return reports

    def check_writable(self) -> None:
        """Checks, before the work for a report, that it can be added.

        Raises:
            PermissionError: The folder may not be written, such as in an installed package.
            ValueError: Its file of reports is damaged.
        """
        if not os.access(self.folder, os.W_OK):
            raise PermissionError(f"{self.folder} may not be written; wanted a {self.kind} in a folder of your own")
        self.read()

    def add(self, report: AnyReport) -> Path:
        """Adds a report, in place of an earlier one on the same split; returns the file's path."""
        self.check_writable()
        reports = self.read() | {report.split: report}
        values = {split: reports[split].model_dump(exclude_none=True) for split in sorted(reports)}
        path = self.folder / FILE
        write_atomically(path, lambda partial: partial.write_text(json.dumps(values, indent=1) + "\n"))
        return path
