"""Verbs about tokens: tokenize, detokenize."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import DEFAULT_MODEL, Device, Missing, Overwrite, app, examples
from ecgvae.cli.terminal import Progress, count, list_left_out, list_remarks


@app.command(epilog=examples("ecgvae tokenize recordings --out tokens.parquet",
                             "ecgvae tokenize a/100 b store --out tokens.parquet --codebooks 4",
                             "ecgvae tokenize recordings --out tokens.parquet --missing-leads zero"))
def tokenize(
    sources: Annotated[list[Path], Argument(metavar="SOURCE", help="Records, folders of them and stores.")],
    out: Annotated[Path, Option(help="Token file to write (Parquet).")],
    model: Annotated[str, Option(help="Tokenizer: a shipped name, or a folder.")] = DEFAULT_MODEL,
    codebooks: Annotated[int | None, Option(help="Use only the first so many codebooks: fewer bits.")] = None,
    missing_leads: Missing = "error",
    device: Device = "auto",
    batch_size: Annotated[int, Option(min=1, help="Records that go through the model together.")] = 64,
    skipped: Annotated[Path | None, Option(help="Also write the list of records left out to this CSV file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn ECG records into tokens.

    The Parquet file has a row for each record, and in it a list of codes for each codebook. On several GPUs:
    accelerate launch -m ecgvae tokenize ...
    """
    from ecgvae.batch import NoUsableRecords, check_free, distributed_state, tokenize_files
    from ecgvae.tokenizer import Tokenizer

    if skipped:
        check_free(skipped, overwrite)
    group = distributed_state()
    tokenizer = Tokenizer.load(model, str(group.device) if group and device == "auto" else device)
    try:
        with Progress("records") as progress:
            summary = tokenize_files(sources, out, tokenizer, codebooks=codebooks, missing=missing_leads,
                                     batch_size=batch_size, overwrite=overwrite, progress=progress)
    except NoUsableRecords as error:
        list_left_out(error.skipped, skipped)
        raise
    if summary:     # else another process has it
        list_left_out(summary.skipped, skipped)
        list_remarks("notes", summary.noted, most=5)
        rate = bits(tokenizer.header(codebooks))
        print(f"{count(summary.records, 'record')}, {summary.seconds:,.0f} s of ECG at {rate:g} bit/s, in {out}")


def bits(header) -> float:
    from ecgvae.metrics import bits_per_second

    return bits_per_second(header.codebooks, header.rate)


@app.command(epilog=examples("ecgvae detokenize tokens.parquet --out decoded",
                             "ecgvae detokenize tokens.parquet --out decoded --model run/model --rate model"))
def detokenize(
    tokens: Annotated[Path, Argument(metavar="TOKENS", help="Token file, as made by tokenize.")],
    out: Annotated[Path, Option(help="Folder for the WFDB records.")],
    model: Annotated[str | None, Option(help="Tokenizer that made them; by default the one named in the file.")] = None,
    rate: Annotated[Literal["source", "model"], Option(help="The records' own rate, or the model's.")] = "source",
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Turn tokens back into WFDB records.

    They have the names that the records had, and lie in the same folders below OUT.
    """
    from ecgvae.batch import detokenize_files

    with Progress("records") as progress:
        summary = detokenize_files(tokens, out, model, original=rate == "source", device=device,
                                   overwrite=overwrite, progress=progress)
    list_left_out(summary.skipped)
    print(f"{count(summary.records, 'record')}, {summary.seconds:,.0f} s of ECG, in {out}")
