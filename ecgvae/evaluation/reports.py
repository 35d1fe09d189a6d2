"""Reports on reconstructions in the folder of a model, from which its card is made."""

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from ecgvae import checkpoint
from ecgvae.evaluation.report_file import Number, ReportFile, SavedReport
from ecgvae.settings import Settings, describe_error


class Summary(Settings):
    """An error over the leads of all records; None where it is not defined."""

    mean: Number = None
    median: Number = None
    p95: Number = None


class Rate(Settings):
    """The errors at a bit rate, or of a continuous latent; see `ecgvae.evaluation.reconstruction.evaluate`."""

    prdn: Summary
    rmse_uv: Summary
    snr_db: Summary
    correlation: Summary
    spectrum_db: Number = None
    codebooks: int | None = None
    bits_per_second: Number = None
    entropy_bits_per_second: Number = None
    prior_bits_per_second: Number = None
    usage: Number = None
    latent_per_second: Number = None


class CodebookUsage(Settings):
    """How evenly the codes of a codebook are used."""

    usage: float
    entropy: Number = None
    perplexity: Number = None


class CodeLength(Settings):
    """The mean code length of a codebook's codes under a prior in bits, and its ratio to their entropy."""

    bits: Number = None
    share: Number = None


class PriorRate(Settings):
    """The bit rate under a prior; see `ecgvae.evaluation.code_lengths.CodeLengths.report`."""

    name: str
    identity: str
    seen_in_training: int | None = None
    condition: bool
    codebooks: int = Field(ge=1)
    bits_per_second: Number = None
    entropy_bits_per_second: Number = None
    share: Number = None
    by_codebook: list[CodeLength]


class Bounds(Settings):
    """Bounds of the likelihood in nats; see `ecgvae.evaluation.likelihood.likelihood`."""

    seconds: float = Field(gt=0)
    samples: int
    elbo: Number = None
    iwae: Number = None
    kl: Number = None
    active_units: int
    units: int


class Report(SavedReport):
    """A report of `ecgvae.evaluation.reconstruction.evaluate`."""

    model: str
    store: str
    fingerprint: str
    records: int = Field(ge=1)
    seen_in_training: int | None = None
    too_short_to_recognize: int = 0
    store_rate: float = Field(gt=0)
    model_rate: float = Field(gt=0)
    source_rates: dict[str, int]
    missing_leads: dict[str, int]
    records_with_missing_leads: int
    derived_leads: list[str] = []
    rows: list[Rate] = Field(min_length=1)
    codebooks: list[CodebookUsage]
    prior: PriorRate | None = None
    likelihood: Bounds | None = None


REPORTS = TypeAdapter(dict[str, Report])


def report_file(model: str | Path) -> ReportFile[Report]:
    """The file of reports in the folder of a model."""
    return ReportFile(checkpoint.locate(model), "model", checkpoint.identity(model), REPORTS)


def read_reports(model: str | Path) -> dict[str, Report]:
    """The reports in the folder of a model, by split; ValueError if their file is damaged or of another model."""
    return report_file(model).read()


def save_report(model: str | Path, report: dict[str, Any]) -> Path:
    """Adds a report to the folder of a model, in place of an earlier one on the same split; returns the file's path.

    The folders of the store are left out.
    """
    own = {key: report[key] for key in Report.model_fields if key in report} | {"store": Path(report["store"]).name}
    if bounds := report.get("likelihood"):
        own["likelihood"] = {key: bounds[key] for key in Bounds.model_fields}
    try:
        return report_file(model).add(Report.model_validate(own))
    except ValidationError as error:
        raise ValueError(f"the report can't be saved: {describe_error(error)}") from None
