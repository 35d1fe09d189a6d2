"""The command extract."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from ecgvae.cli.app import (
    DEFAULT_MODEL,
    FEATURES,
    AnyAmplitude,
    BatchSize,
    Device,
    LeadMap,
    MissingLeads,
    Overwrite,
    Quiet,
    Strict,
    app,
    examples,
)
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_file_output, check_model, check_output, check_records
from ecgvae.cli.remarks import count_skipped, list_remarks, list_skipped
from ecgvae.cli.terminal import Progress, end_strict, remark, show
from ecgvae.wording import count, count_of

FORMATS = (".parquet", ".npz")

if TYPE_CHECKING:
    from ecgvae.batch import ExtractedSummary
    from ecgvae.features import Extractor


@app.command(rich_help_panel=FEATURES,
             epilog=examples("ecgvae extract recordings --out features.parquet",
                             "ecgvae extract a/100 store --out features.npz --layers layer3,latent --pool mean-std"))
def extract(
    sources: Annotated[list[Path], Argument(metavar="SOURCE", help="WFDB records, folders of them, or stores.")],
    out: Annotated[Path, Option(help="File to write: a table (.parquet) or arrays (.npz).")],
    model: Annotated[str, Option(help="Model: a shipped one, a model folder or a run folder.",
                                 autocompletion=shipped_models)] = DEFAULT_MODEL,
    layers: Annotated[str | None, Option(help="Layers of the encoder, separated by commas; info lists them. Default: "
                                              "the one in the middle.", show_default=False)] = None,
    pool: Annotated[Literal["stats", "mean-std", "mean"],
                    Option(help="What is kept of a layer's frames: stats are ten statistics of each channel.")
                    ] = "stats",
    window: Annotated[float, Option(min=0, help="Length in seconds of the windows, each of which gives a row; 0 for a "
                                                "row a record.")] = 10,
    lead_map: LeadMap = None,
    missing_leads: MissingLeads = "error",
    any_amplitude: AnyAmplitude = False,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    skipped: Annotated[Path | None, Option(help="CSV file to write with the skipped records and the reasons, and with "
                                                "notes about the others. Default: none.")] = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Turns ECG records into features for a classifier.

    The file has a row for each window of a record: its record, start and end, and what the encoder makes of it.
    On several GPUs: accelerate launch -m ecgvae extract ...
    """
    check_records(sources)
    check_output(out, overwrite)
    if out.suffix not in FORMATS:
        raise ValueError(f"{out} ends in {out.suffix or 'nothing'}; wanted a name that ends in {' or '.join(FORMATS)}")
    if skipped:
        check_file_output(skipped, overwrite, ".csv", outputs=[out])
    check_model(model)
    options: dict[str, Any] = {"missing": missing_leads, "any_amplitude": any_amplitude}
    if lead_map:
        from ecgvae.signal import parse_lead_map

        options["lead_map"] = parse_lead_map(lead_map)
    from ecgvae.batch import distributed_state, extract_files
    from ecgvae.data.errors import NoUsableRecords
    from ecgvae.features import Extractor

    processes = distributed_state()
    names = None if layers is None else tuple(name.strip() for name in layers.split(",") if name.strip())
    extractor = Extractor.load(model, names, pool, window or None,
                               str(processes.device) if processes and device == "auto" else device)
    try:
        with Progress("records") as progress:
            summary = extract_files(sources, out, extractor, batch_size=batch_size, overwrite=overwrite,
                                    progress=progress, **options)
    except NoUsableRecords as error:
        list_skipped(error.skipped, skipped)
        raise
    if summary:     # only the first process has one
        report(summary, extractor, skipped)
        end_strict(strict, len(summary.skipped))


def report(summary: "ExtractedSummary", extractor: "Extractor", listing: Path | None) -> None:
    """Prints a summary of a new file of features, after the skipped records and notes, which also go to a CSV file."""
    list_skipped(summary.skipped, listing, summary.noted, summary.passed_over)
    list_remarks("notes", summary.noted)
    for text in summary.remarks:
        remark(text)
    show(f"{count_of(summary.records, summary.total, 'record')}, {summary.seconds:,.0f} s of ECG, in "
         f"{count(summary.rows, 'row')} of {len(extractor.names):,} features "
         f"({', '.join(extractor.layers)} of {extractor.name}), in {summary.out}{count_skipped(summary.skipped)}")
