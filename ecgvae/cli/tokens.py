"""The command tokenize."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ecgvae.cli.app import (
    DEFAULT_MODEL,
    SIGNALS,
    AnyAmplitude,
    BatchSize,
    Comments,
    Device,
    LeadMap,
    MissingLeads,
    Overwrite,
    Quiet,
    Strict,
    Tokenizer,
    app,
    examples,
)
from ecgvae.cli.paths import check_file_output, check_model, check_output, check_records
from ecgvae.cli.remarks import count_skipped, list_first, list_remarks, list_skipped
from ecgvae.cli.terminal import Progress, end_strict, remark, show
from ecgvae.wording import count, count_of

if TYPE_CHECKING:
    import ecgvae.tokenizer
    from ecgvae.batch import EncodedSummary
    from ecgvae.data.errors import Remarks
    from ecgvae.data.tokens import TokenHeader


@app.command(rich_help_panel=SIGNALS,
             epilog=examples("ecgvae tokenize recordings --out tokens.parquet",
                             "ecgvae tokenize a/100 b store --out tokens.parquet --codebooks 4",
                             "ecgvae tokenize recordings --out tokens.parquet --verify"))
def tokenize(
    sources: Annotated[list[Path], Argument(metavar="SOURCE", help="WFDB records, folders of them, or stores.")],
    out: Annotated[Path, Option(help="Token file to write (.parquet).")],
    model: Tokenizer = DEFAULT_MODEL,
    codebooks: Annotated[int | None, Option(min=1, help="Number of codebooks to use, from codebook 0 on. Fewer "
                                                        "codebooks give a lower bit rate. Default: all.")] = None,
    lead_map: LeadMap = None,
    missing_leads: MissingLeads = "error",
    any_amplitude: AnyAmplitude = False,
    verify: Annotated[bool, Option("--verify", help="Also decode the tokens, and write PRDN (%) and RMSE (µV) of each "
                                                    "lead to the columns prdn and rmse_uv.")] = False,
    prdn_limit: Annotated[float, Option(min=0, help="With --verify: PRDN in %, mean over the leads, above which a "
                                                    "record is listed.")] = 30,
    comments: Comments = True,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    skipped: Annotated[Path | None, Option(help="CSV file to write with the skipped records and the reasons, and with "
                                                "notes about the others. Default: none.")] = None,
    strict: Strict = False,
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
        check_file_output(skipped, overwrite, ".csv", outputs=[out])
    check_model(model)
    options: dict[str, Any] = {"codebooks": codebooks, "missing": missing_leads, "any_amplitude": any_amplitude,
                               "comments": comments, "verify": verify}
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
        report(summary, tokenizer, tokenizer.header(codebooks), prdn_limit, skipped)
        end_strict(strict, len(summary.skipped))


def report(summary: "EncodedSummary", tokenizer: "ecgvae.tokenizer.Tokenizer", header: "TokenHeader",
           prdn_limit: float, listing: Path | None) -> None:
    """Prints a summary of a new token file, after the skipped records and notes, which also go to a CSV file."""
    poor = poor_records(summary, prdn_limit)
    list_skipped(summary.skipped, listing, [*summary.noted, *poor], summary.passed_over)
    list_notes(summary.noted, tokenizer)
    for text in summary.remarks:
        remark(text)
    list_first(f"PRDN above {prdn_limit:g} %", poor)
    show(f"{count_of(summary.records, summary.total, 'record')}, {summary.seconds:,.0f} s of ECG "
         f"at {bit_rate(header):g} bit/s, in {summary.out}{count_skipped(summary.skipped)}")
    if summary.errors:
        show(error_summary(summary, prdn_limit))


def list_notes(noted: "Remarks", tokenizer: "ecgvae.tokenizer.Tokenizer") -> None:
    """Prints notes about records, and how many records have amplitudes unlike the training data."""
    from ecgvae.signal.amplitudes import UNLIKE_TRAINING

    list_remarks("notes", noted, limit=5)
    unlike = {name for name, note in noted if note.startswith(UNLIKE_TRAINING)}
    if unlike:
        remark(f"{count(len(unlike), 'record')} with {UNLIKE_TRAINING}; --verify measures what their tokens are worth")
    if tokenizer.amplitudes is None:
        remark(f"{tokenizer.name} does not know the amplitudes of its training data, so amplitudes are not checked")


def poor_records(summary: "EncodedSummary", limit: float) -> list[tuple[str, str]]:
    """The verified records with a PRDN above a limit in %, the worst first."""
    poor = sorted((row for row in summary.errors if row[1] > limit), key=lambda row: -row[1])
    return [(name, f"PRDN {prdn:.1f} %, RMSE {rmse:.0f} µV") for name, prdn, rmse in poor]


def error_summary(summary: "EncodedSummary", limit: float) -> str:
    """The errors of the verified records in one line."""
    import numpy as np

    from ecgvae.tokenizer.verification import SEEN_IN_TRAINING

    prdn, rmse = np.array([row[1:] for row in summary.errors]).T
    if np.isnan(prdn).all():
        return "every lead is flat, so there are no errors to verify"
    above, flat = int((prdn > limit).sum()), int(np.isnan(prdn).sum())
    seen = sum(note == SEEN_IN_TRAINING for _, note in summary.noted)
    trained_on = f"; {count_of(seen, len(prdn), 'record')} {SEEN_IN_TRAINING}" if seen else ""
    are_flat = f"; {flat:,} flat" if flat else ""
    return (f"PRDN {np.nanmean(prdn):.1f} % (median {np.nanmedian(prdn):.1f} %), RMSE {np.nanmean(rmse):.1f} µV; "
            f"{count_of(above, len(prdn) - flat, 'record')} above {limit:g} %{are_flat}{trained_on}")


def bit_rate(header: "TokenHeader") -> float:
    from ecgvae.metrics import bits_per_second

    return bits_per_second(header.codebooks, header.rate)


