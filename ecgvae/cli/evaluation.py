"""The command evaluate."""

from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import MODELS, BatchSize, Device, Json, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_model, check_output, check_store
from ecgvae.cli.terminal import Progress, show_json, show_table, to_json


@app.command(rich_help_panel=MODELS,
             epilog=examples("ecgvae evaluate ptbxl-vqvae-conv store",
                             "ecgvae evaluate runs/mine store --split validation --out report.json"))
def evaluate(
    model: Annotated[str, Argument(metavar="MODEL", autocompletion=shipped_models,
                                   help="A shipped model, a model folder or a run folder.")],
    store: Annotated[Path, Argument(metavar="STORE", help="Store to evaluate on.")],
    split: Annotated[Literal["train", "validation", "test", "all"], Option(help="Part of the store.")] = "test",
    out: Annotated[Path | None, Option(help="JSON file to which the report is also written. Default: none.")] = None,
    device: Device = "auto",
    batch_size: BatchSize = 64,
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measures the errors of a model's reconstructions.

    Errors are computed for each lead of each record.
    A tokenizer is measured with each number of codebooks, from one to all.
    """
    check_model(model)
    check_store(store)
    if out:
        check_output(out, overwrite, ".json")
    from ecgvae.data.jobs import write_atomically
    from ecgvae.data.store import Store
    from ecgvae.evaluation.reconstruction import evaluate as measure

    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
    with Progress("records") as progress:
        report = measure(model, Store(store), split, device, batch_size, progress)
    if out:     # before printing, which a closed pipe ends
        write_atomically(out, lambda path: path.write_text(to_json(report) + "\n"))
    if as_json:
        show_json(report)
    else:
        show_report(report)


def show_report(report: dict) -> None:
    """Prints a report: errors with each number of codebooks, and how evenly each codebook's codes are used."""
    errors = ["PRDN %", "median", "95 %", "RMSE µV", "median", "95 %", "SNR dB", "correlation", "spectrum dB"]
    print(f"{report['model']} on {report['records']:,} records ({report['split']}) of {report['store']}")
    if not report["codebooks"]:
        show_table(["numbers/s", *errors],
                   [[f"{row['latent_per_second']:g}", *format_errors(row)] for row in report["rows"]])
        return
    rows = [[str(row["codebooks"]), f"{row['bits_per_second']:.0f}", f"{row['entropy_bits_per_second']:.0f}",
             *format_errors(row)] for row in report["rows"]]
    show_table(["codebooks", "bit/s", "entropy bit/s", *errors], rows)
    print()
    show_table(["codebook", "codes used %", "entropy bits", "perplexity"],
               [[str(index), f"{100 * codebook['usage']:.1f}", f"{codebook['entropy']:.2f}",
                 f"{codebook['perplexity']:.0f}"] for index, codebook in enumerate(report["codebooks"])])


def format_errors(row: dict) -> list[str]:
    """The cells of the columns of errors."""
    summaries = [f"{row[name][key]:.{digits}f}" for name, digits in (("prdn", 2), ("rmse_uv", 1))
                 for key in ("mean", "median", "p95")]
    return [*summaries, f"{row['snr_db']['mean']:.2f}", f"{row['correlation']['mean']:.4f}",
            f"{row['spectrum_db']:.2f}"]
