"""The commands info and plot."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import INSPECTION, Device, Json, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_model, check_record
from ecgvae.cli.terminal import show, show_facts, show_json


@app.command(rich_help_panel=INSPECTION,
             epilog=examples("ecgvae info ptbxl-vqvae-conv", "ecgvae info runs/mine",
                             "ecgvae info tokens.parquet --json"))
def info(
    item: Annotated[str, Argument(metavar="MODEL|RUN|TOKENS|STORE|RECORD", autocompletion=shipped_models,
                                  help="A shipped model, or the path of a model, run, token file, store or record.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describes a model, run, token file, store or record."""
    from ecgvae.inspection import describe

    facts = describe(item)
    if as_json:
        show_json(facts)
    else:
        show_facts(facts)


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
    from ecgvae.inspection import draw_record, draw_tokens, is_parquet
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
