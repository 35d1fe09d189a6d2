"""The command demo."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from ecgvae.cli.app import DEFAULT_MODEL, SIGNALS, Device, Json, Overwrite, Quiet, Tokenizer, app, examples
from ecgvae.cli.paths import check_model, check_output
from ecgvae.cli.terminal import remark, show_json, show_table


@app.command(rich_help_panel=SIGNALS, epilog=examples("ecgvae demo", "ecgvae demo tour --model runs/mine"))
def demo(
    out: Annotated[Path, Argument(metavar="OUT", help="Folder to create.")] = Path("demo"),
    model: Tokenizer = DEFAULT_MODEL,
    device: Device = "auto",
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Simulates 12 ECGs, turns them into tokens and back, and shows the error.

    If a prior comes with this version, it also generates records.
    """
    check_output(out, overwrite)
    check_model(model)
    from ecgvae.demo import run_demo

    rows = run_demo(out, model, device, overwrite)
    if as_json:
        show_json(rows)
        return
    table = [[row["record"], f"{row['prdn']:.1f}", f"{row['rmse_uv']:.1f}", f"{row['bits_per_second']:.0f}",
              f"{100 * row['codes_used']:.1f}"] for row in rows]
    show_table(["record", "PRDN %", "RMSE µV", "bit/s", "codes used %"], table)
    generated = ", generated" if (out / "generated").is_dir() else ""
    remark(f"records, tokens.parquet, decoded{generated} and comparison.png are in {out}")
