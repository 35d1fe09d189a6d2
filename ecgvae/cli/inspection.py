"""Verbs that show what there is: info, models, plot, demo."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import DEFAULT_MODEL, Device, Json, Overwrite, app, examples
from ecgvae.cli.terminal import say, show_facts, show_json, show_table


@app.command(epilog=examples("ecgvae info ptbxl-vqvae-conv", "ecgvae info tokens.parquet --json"))
def info(
    thing: Annotated[str, Argument(metavar="MODEL|TOKENS|STORE|RECORD", help="A shipped name or a path.")],
    as_json: Json = False,
) -> None:
    """Tell what a model, token file, store or record is."""
    from ecgvae.inspection import describe

    facts = describe(thing)
    show_json(facts) if as_json else show_facts(facts)


@app.command(epilog=examples("ecgvae models", "ecgvae models --json"))
def models(as_json: Json = False) -> None:
    """List the models that come with ecgvae, and what every family costs in every size."""
    from ecgvae.catalogue import families, shipped

    ready, sizes = shipped(), families()
    if as_json:
        show_json({"shipped": ready, "families": sizes})
        return
    show_table(["shipped", "family", "backbone", "MB", "up to bit/s"],
               [[row["name"], row["family"], row["backbone"], f"{row['megabytes']:.1f}",
                 f"{row['bits_per_second']:.0f}" if row["bits_per_second"] else "-"] for row in ready])
    print()
    show_table(["family", "backbone", "parameters", "MFLOP a second of ECG"],
               [[row["family"], row["backbone"], f"{row['parameters']:,}", f"{row['mflop_per_second']:.1f}"]
                for row in sizes])


@app.command(epilog=examples("ecgvae plot records/100 --out 100.png",
                             "ecgvae plot records/100 --out 100.pdf --model ptbxl-vqvae-conv",
                             "ecgvae plot tokens.parquet --record records/100 --out tokens.png"))
def plot(
    thing: Annotated[Path, Argument(metavar="RECORD|TOKENS", help="WFDB record or token file.")],
    out: Annotated[Path, Option(help="Figure to write: .png, .pdf or .svg.")],
    model: Annotated[str | None, Option(help="Draws what comes back from it over a record.")] = None,
    record: Annotated[str | None, Option(help="Which record of a token file; by default the first.")] = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Draw a record on ECG paper, or tokens under the ECG they decode to."""
    from ecgvae.inspection import draw_record, draw_tokens, is_parquet

    if is_parquet(thing):
        draw_tokens(thing, out, record, model, device, overwrite)
    elif record:
        raise ValueError(f"--record {record}: {thing} is no token file")
    else:
        draw_record(thing, out, model, device, overwrite)
    print(out)


@app.command(epilog=examples("ecgvae demo", "ecgvae demo tour --model run/model"))
def demo(
    out: Annotated[Path, Argument(metavar="OUT", help="Folder to fill.")] = Path("demo"),
    model: Annotated[str, Option(help="Tokenizer: a shipped name, or a folder.")] = DEFAULT_MODEL,
    device: Device = "auto",
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a dozen ECGs, turn them into tokens and back, show what was lost."""
    from ecgvae.demo import run_demo

    rows = run_demo(out, model, device, overwrite)
    if as_json:
        show_json(rows)
        return
    table = [[row["record"], f"{row['prdn']:.1f}", f"{row['rmse_uv']:.1f}", f"{row['bits_per_second']:.0f}",
              f"{100 * row['codes_used']:.1f}"] for row in rows]
    show_table(["record", "PRDN %", "RMSE µV", "bit/s", "codes used %"], table)
    say(f"records, tokens.parquet, decoded and comparison.png are in {out}")
