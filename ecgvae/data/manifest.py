"""manifest.json of a store: its leads and rate, counts of its records, and how it was prepared."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError, field_validator

from ecgvae.files import read_json
from ecgvae.settings import describe_error

FORMAT = 1
MIN_RATE, MAX_RATE = 1e-6, 1e9  # Hz, within which numbers of samples can be computed

Count = Annotated[StrictInt, Field(ge=0, lt=1 << 62)]


class Manifest(BaseModel):
    """The values of manifest.json that are read; other values are kept as they are.

    Attributes:
        format: The number of the format.
        leads: The leads, as columns of the signals.
        rate: Sampling rate in Hz.
        samples: Number of samples of each lead.
        fingerprint: A hash of the signals and of the names of the records.
        source: The folder that was prepared.
        window: Length of the windows in seconds; None for whole records.
        skipped: Number of records that could not be used.
        random_split: Whether patients or records are split at random; None if the table has folds or splits, and in
            stores of earlier versions.
        origin_columns: The columns of the table that are the store's own, of those that a table of labels may have too.
        remarks: What was said when the store was prepared.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    format: StrictInt
    leads: tuple[StrictStr, ...] = Field(min_length=1)
    rate: float = Field(ge=MIN_RATE, lt=MAX_RATE, strict=True)
    samples: Count
    fingerprint: StrictStr
    source: StrictStr = ""
    window: Annotated[float, Field(gt=0, strict=True)] | None = None
    records: Count | None = None
    skipped: Count = 0
    unmatched_rows: Count = 0
    unlabelled_records: Count = 0
    patients_in_several_splits: Count = 0
    random_split: Literal["patient", "record"] | None = None
    origin_columns: tuple[Literal["start_time", "source_leads"], ...] = ()
    remarks: tuple[StrictStr, ...] = ()

    @field_validator("leads")
    @classmethod
    def _check_leads(cls, leads: tuple[str, ...]) -> tuple[str, ...]:
        if repeated := [lead for lead, count in Counter(leads).items() if count > 1]:
            raise ValueError(f"{repeated[0]:.60} more than once; wanted every lead once")
        return leads


def read_manifest(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    """The manifest of the store in a folder, and its values as they are; ValueError if it is not one."""
    try:
        values = read_json(folder / "manifest.json", "the manifest of a store")
    except (ValueError, OSError):
        raise ValueError(f"{folder} is not an ecgvae store: it has no valid manifest.json") from None
    version = values.get("format") if isinstance(values, dict) else None
    if isinstance(version, int) and version != FORMAT:
        raise ValueError(f"{folder} has store format {version:.60g}; this version reads format {FORMAT}")
    try:
        return Manifest.model_validate(values), {"source": "", "window": None, "skipped": 0, **values}
    except ValidationError as error:
        raise ValueError(f"{folder} is not an ecgvae store: manifest.json: {describe_error(error)}") from None
