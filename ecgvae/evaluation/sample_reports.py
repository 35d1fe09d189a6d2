"""Reports on generated ECGs in the folder of the prior that generated them, from which its card is made."""

from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from ecgvae import checkpoint
from ecgvae.evaluation.generation.sampling import Sampling
from ecgvae.evaluation.generation.tables import (
    distance_table,
    memorisation_table,
    physiology_table,
    utility_table,
)
from ecgvae.evaluation.report_file import Number, ReportFile, SavedReport
from ecgvae.settings import Settings, describe_error

Table = dict[str, dict[str, Number]]      # a row for each set, see `ecgvae.evaluation.generation.tables`


class Decoder(Settings):
    """The autoencoder by which real ECGs were decoded, and the number of its codebooks; None for latents."""

    name: str
    identity: str
    codebooks: int | None = Field(None, ge=1)


class Counts(Settings):
    """Number of records of each set."""

    samples: int = Field(ge=1)
    reference: int = Field(ge=1)
    training: int = Field(ge=1)
    decoded: int | None = None
    validation: int | None = None


class SampleReport(SavedReport):
    """The numbers that are shown of a report of `ecgvae.evaluation.generation.measure`.

    Attributes:
        prior: Name of the prior; `identity` is its identity.
        store: Name of the store.
        tokenizer: What the decoded real ECGs were decoded by, if any.
        records: Number of records of each set.
        compared: Number of records of each set that are compared at a time.
        labelled: Number of samples with superclasses.
        left_out: Number of samples and real records that were left out.
        seconds: Length of each ECG.
        rate: Sampling rate in Hz.
        options, prompted: See `Sampling`.
        missing: Why a section is empty.
        distances: Tables by feature space.
        utility, physiology, memorisation: A table each.
    """

    prior: str
    store: str
    tokenizer: Decoder | None = None
    records: Counts
    compared: int = Field(ge=1)
    labelled: int = Field(ge=0)
    left_out: int = Field(ge=0)
    seconds: float = Field(gt=0)
    rate: float = Field(gt=0)
    options: dict[str, int]
    prompted: int = Field(ge=0)
    missing: dict[str, str]
    distances: dict[str, Table]
    utility: Table
    physiology: Table
    memorisation: Table


REPORTS = TypeAdapter(dict[str, SampleReport])


def sample_report_file(prior: str | Path) -> ReportFile[SampleReport]:
    """The file of reports in the folder of a prior."""
    config = checkpoint.prior_config(prior)
    return ReportFile(checkpoint.locate_prior(prior), "prior", config["identity"], REPORTS)


def read_sample_reports(prior: str | Path) -> dict[str, SampleReport]:
    """The reports in the folder of a prior, by split; ValueError if their file is damaged or of another prior."""
    return sample_report_file(prior).read()


def save_sample_report(prior: str | Path, report: dict[str, Any], sampling: Sampling) -> Path:
    """Adds a report to the folder of a prior, in place of an earlier one on the same split; returns the file's path.

    Args:
        prior: The name of a shipped prior, its folder or that of its run.
        report: As `ecgvae.evaluation.generation.measure` returns it.
        sampling: How the prior has drawn the samples, see `read_sampling`.
    """
    file, sections = sample_report_file(prior), report["sections"]
    facts = {name: report[name] for name in ("store", "split", "tokenizer", "records", "compared", "labelled",
                                             "seconds", "rate", "missing")}
    tables = {
        "distances": {space: distance_table(rows, sections["discriminator"][space])
                      for space, rows in sections["distances"].items()},
        "utility": utility_table(sections["utility"]),
        "physiology": physiology_table(sections["physiology"]),
        "memorisation": memorisation_table(sections["memorisation"]),
    }
    try:
        return file.add(SampleReport.model_validate({
            **facts, **tables, "prior": checkpoint.prior_name(prior), "identity": file.identity,
            "left_out": len(report["left_out"]), "options": sampling.options, "prompted": sampling.prompted}))
    except ValidationError as error:
        raise ValueError(f"the report can't be saved: {describe_error(error)}") from None
