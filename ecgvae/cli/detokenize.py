"""The command detokenize."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import SIGNALS, Comments, Device, Quiet, Strict, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_exists, check_file_output, check_model
from ecgvae.cli.remarks import count_skipped, list_remarks, list_skipped
from ecgvae.cli.terminal import Progress, end_strict, remark, show
from ecgvae.wording import count, count_of

if TYPE_CHECKING:
    from ecgvae.batch import DecodedSummary


@app.command(rich_help_panel=SIGNALS,
             epilog=examples("ecgvae detokenize tokens.parquet --out decoded",
                             "ecgvae detokenize tokens.parquet --out decoded --model runs/mine --rate model"))
def detokenize(
    tokens: Annotated[Path, Argument(metavar="TOKENS", help="Token file.")],
    out: Annotated[Path, Option(help="Folder for the WFDB records.")],
    model: Annotated[str | None, Option(help="Tokenizer that made the file: a shipped model, a model folder or a run "
                                             "folder. Default: the one that the file names.",
                                        autocompletion=shipped_models)] = None,
    rate: Annotated[Literal["source", "model"], Option(help="Sampling rate of the records: that of the source "
                                                            "records, or the model's.")] = "source",
    all_leads: Annotated[bool, Option("--all-leads", help="Also write the leads that a source record did not have and "
                                                          "that do not follow from its leads. The model invents them; "
                                                          "headers and plots mark them.")] = False,
    comments: Comments = True,
    device: Device = "auto",
    skipped: Annotated[Path | None, Option(help="CSV file to write with the skipped records, the reasons, and notes "
                                                "about others. Default: none.")] = None,
    strict: Strict = False,
    overwrite: Annotated[bool, Option("--overwrite", help="Write to a folder that exists. Records of the same names "
                                                          "are replaced, other files are kept. Decoded records that "
                                                          "TOKENS does not have are an error.")] = False,
    quiet: Quiet = False,
) -> None:
    """Turns tokens back into WFDB records.

    The records have the names of the source records and are in the same subfolders of OUT.
    """
    from ecgvae.data.errors import NoUsableRecords, check_folder

    check_exists(tokens, "a token file")
    check_folder(out, overwrite)
    if skipped:
        check_file_output(skipped, overwrite, ".csv", [tokens], [out])
    if model:
        check_model(model)
    from ecgvae.batch import detokenize_files

    try:
        with Progress("records") as progress:
            summary = detokenize_files(tokens, out, model, original=rate == "source", all_leads=all_leads,
                                       comments=comments, device=device, overwrite=overwrite, progress=progress)
    except NoUsableRecords as error:
        list_skipped(error.skipped, skipped)
        raise
    renamed = [(name, f"written as {path}") for name, path in summary.renamed]
    list_skipped(summary.skipped, skipped, [*summary.noted, *renamed])
    list_notes(summary, all_leads)
    show(f"{count_of(summary.records, summary.total, 'record')}, {summary.seconds:,.0f} s of ECG, in {out}"
         f"{count_skipped(summary.skipped)}")
    end_strict(strict, len(summary.skipped))


def list_notes(summary: "DecodedSummary", all_leads: bool) -> None:
    """Prints remarks about leads, names, and what else is in the folder."""
    list_remarks("leads", summary.noted, limit=5)
    if summary.noted and not all_leads:
        remark("  (--all-leads writes the others too, which the model invents)")
    if summary.renamed:
        name, path = summary.renamed[0]
        remark(f"{count(len(summary.renamed), 'record')} written under another name, which WFDB allows and no other "
               f"record has, such as {name:.100} as {path:.150}; headers have the original names")
    if summary.kept:
        remark(f"{count(summary.kept, 'other record')} in {summary.out} kept")
