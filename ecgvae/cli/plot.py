"""The command plot."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import INSPECTION, Device, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_model, check_record
from ecgvae.cli.terminal import show


@app.command(rich_help_panel=INSPECTION,
             epilog=examples("ecgvae plot records/100 --out 100.png",
                             "ecgvae plot records/100 --out 100.pdf --model ptbxl-vqvae-conv",
                             "ecgvae plot tokens.parquet --record records/100 --out tokens.png"))
def plot(
    source: Annotated[Path, Argument(metavar="RECORD|TOKENS", help="WFDB record or token file.")],
    out: Annotated[Path, Option(help="Figure to write: .png, .pdf or .svg.")],
    model: Annotated[str | None, Option(help="For a record: model whose reconstruction is drawn over it. Default: "
                                             "none. For a token file: its tokenizer. Default: the one that the file "
                                             "names.",
                                        autocompletion=shipped_models)] = None,
    record: Annotated[str | None, Option(help="Record of a token file. Default: the first.")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Draws a record on ECG paper, or tokens under the ECG that is decoded from them."""
    from ecgvae.inspection import is_parquet
    from ecgvae.plotting.files import check_destination

    check_destination(out, overwrite)
    if model:
        check_model(model)
    if is_parquet(source):
        draw_tokens(source, out, record, model, device, overwrite)
    elif record:
        raise ValueError(f"--record {record}: {source} is not a token file")
    else:
        check_record(source, "a record or a token file")
        draw_record(source, out, model, device, overwrite)
    show(out)


def draw_record(path: Path, out: Path, model: str | None, device: str, overwrite: bool) -> None:
    """Draws a record on ECG paper, overlaid with the reconstruction by a model if one is given."""
    from ecgvae import checkpoint
    from ecgvae.plotting import plot_record
    from ecgvae.plotting.paper import MAX_SECONDS
    from ecgvae.signal import open_record

    record, reconstruction = open_record(path), None
    if model:
        from ecgvae.evaluation.batches import reconstruct_record

        shown_part = record.read(0, round(MAX_SECONDS * record.rate))
        reconstruction = reconstruct_record(checkpoint.load(model, device), shown_part)
    plot_record(record, out, reconstruction, overwrite=overwrite)


def draw_tokens(path: Path, out: Path, name: str | None, model: str | None, device: str, overwrite: bool) -> None:
    """Draws the tokens of a record (by default the first of the file) under the ECG that is decoded from them."""
    from ecgvae.data.tokens import open_tokens
    from ecgvae.plotting import plot_tokens
    from ecgvae.plotting.paper import ROW_SECONDS
    from ecgvae.tokenizer import load_tokenizer

    file = open_tokens(path)
    tokens = next((tokens for tokens in file if name in (None, tokens.name)), None)
    if tokens is None:
        raise ValueError(f"{path} has no record {name}" if name else f"{path} has no records")
    decoder = load_tokenizer(file, model, device).decoder(tokens, original=False, all_leads=True)
    rate, shown = file.header.rate, round(ROW_SECONDS * file.header.rate)
    decoded = replace(decoder.facts, signal=next(decoder.blocks())[:, :shown])
    length = f" · first {ROW_SECONDS:g} s of {tokens.samples / rate:.1f} s" if tokens.samples > shown else ""
    hops = [codebook.hop for codebook in file.header.codebooks]
    plot_tokens(decoded, tokens.codes, hops, rate, out, tokens.name + length, overwrite=overwrite)
