"""The command tokenize."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ecgvae.cli.app import (
    DEFAULT_MODEL,
    SIGNALS,
    BatchSize,
    Device,
    LeadMap,
    MissingLeads,
    Overwrite,
    Quiet,
    Tokenizer,
    app,
    examples,
)
from ecgvae.cli.paths import check_model, check_output, check_records
from ecgvae.cli.terminal import Progress, count, list_remarks, list_skipped

if TYPE_CHECKING:
    from ecgvae.batch import Summary
    from ecgvae.data.tokens import TokenHeader


@app.command(rich_help_panel=SIGNALS,
             epilog=examples("ecgvae tokenize recordings --out tokens.parquet",
                             "ecgvae tokenize a/100 b store --out tokens.parquet --codebooks 4",
                             "ecgvae tokenize recordings --out tokens.parquet --missing-leads zero"))
def tokenize(
    sources: Annotated[list[Path], Argument(metavar="SOURCE", help="WFDB records, folders of them, or stores.")],
    out: Annotated[Path, Option(help="Token file to write (.parquet).")],
    model: Tokenizer = DEFAULT_MODEL,
    codebooks: Annotated[int | None, Option(min=1, help="Number of codebooks to use, from codebook 0 on. Fewer "
                                                        "codebooks give a lower bit rate. Default: all.")] = None,
    lead_map: LeadMap = None,
    missing_leads: MissingLeads = "error",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    skipped: Annotated[Path | None, Option(help="CSV file to write with the skipped records and the reasons. "
                                                "Default: none.")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Turns ECG records into tokens.

    The token file (Parquet) has a row for each record, with a list of codes for each codebook.
    On several GPUs: accelerate launch -m ecgvae tokenize ...
    """
    check_records(sources)
    check_output(out, overwrite, ".parquet")
    if skipped:
        check_output(skipped, overwrite, ".csv")
    check_model(model)
    options: dict[str, Any] = {"codebooks": codebooks, "missing": missing_leads}
    if lead_map:
        from ecgvae.signal import parse_lead_map

        options["lead_map"] = parse_lead_map(lead_map)
    from ecgvae.batch import distributed_state, tokenize_files
    from ecgvae.data.errors import NoUsableRecords
    from ecgvae.tokenizer import Tokenizer

    processes = distributed_state()
    tokenizer = Tokenizer.load(model, str(processes.device) if processes and device == "auto" else device)
    try:
        with Progress("records") as progress:
            summary = tokenize_files(sources, out, tokenizer, batch_size=batch_size, overwrite=overwrite,
                                     progress=progress, **options)
    except NoUsableRecords as error:
        list_skipped(error.skipped, skipped)
        raise
    if summary:     # only the first process has one
        list_skipped(summary.skipped, skipped)
        list_remarks("notes", summary.noted, limit=5)
        rate = bit_rate(tokenizer.header(codebooks))
        print(f"{amount(summary)} at {rate:g} bit/s, in {out}{skipped_count(summary)}")


def bit_rate(header: "TokenHeader") -> float:
    from ecgvae.metrics import bits_per_second

    return bits_per_second(header.codebooks, header.rate)


def amount(summary: "Summary") -> str:
    return f"{count(summary.records, 'record')}, {summary.seconds:,.0f} s of ECG"


def skipped_count(summary: "Summary") -> str:
    return f"; {count(len(summary.skipped), 'record')} skipped" if summary.skipped else ""
