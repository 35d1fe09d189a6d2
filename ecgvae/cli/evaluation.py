"""Verbs about how good a model is: evaluate."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import Device, Json, Overwrite, app, examples
from ecgvae.cli.terminal import Progress, show_json, show_table, to_json


@app.command(epilog=examples("ecgvae evaluate ptbxl-vqvae-conv store",
                             "ecgvae evaluate run/model store --split validation --out report.json"))
def evaluate(
    model: Annotated[str, Argument(metavar="MODEL", help="Any model: a shipped name, or a folder.")],
    store: Annotated[Path, Argument(metavar="STORE", help="Store, as made by prepare.")],
    split: Annotated[str, Option(help="train, validation, test or all of the store.")] = "test",
    out: Annotated[Path | None, Option(help="Also write the report to this JSON file.")] = None,
    device: Device = "auto",
    batch_size: Annotated[int, Option(min=1, help="Records that go through the model together.")] = 64,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Measure how well ECG comes back.

    Errors of each lead of each record; of a tokenizer for every number of codebooks, with bit rates and how well
    the codes are used.
    """
    from ecgvae.batch import check_free
    from ecgvae.data.jobs import write_atomically
    from ecgvae.data.store import Store
    from ecgvae.evaluation.reconstruction import evaluate as measure

    if out:
        check_free(out, overwrite)
        out.parent.mkdir(parents=True, exist_ok=True)
    with Progress("records") as progress:
        report = measure(model, Store(store), split, device, batch_size, progress)
    show_json(report) if as_json else show_report(report)
    if out:
        write_atomically(out, lambda path: path.write_text(to_json(report) + "\n"))


def show_report(report: dict) -> None:
    errors = ["PRDN %", "median", "95 %", "RMSE µV", "median", "95 %", "SNR dB", "correlation", "spectrum dB"]
    print(f"{report['model']} on {report['records']:,} records ({report['split']}) of {report['store']}")
    if not report["codebooks"]:
        show_table(["numbers/s", *errors],
                   [[f"{row['latent_per_second']:g}", *errors_of(row)] for row in report["rows"]])
        return
    columns = ["codebooks", "bit/s", "entropy bit/s", *errors, "used %", "perplexity"]
    rows = [[str(row["codebooks"]), f"{row['bits_per_second']:.0f}", f"{row['entropy_bits_per_second']:.0f}",
             *errors_of(row), f"{100 * row['usage']:.1f}", f"{stream['perplexity']:.0f}"]
            for row, stream in zip(report["rows"], report["codebooks"], strict=True)]
    show_table(columns, rows)


def errors_of(row: dict) -> list[str]:
    summaries = [f"{row[name][key]:.{digits}f}" for name, digits in (("prdn", 2), ("rmse_uv", 1))
                 for key in ("mean", "median", "p95")]
    return [*summaries, f"{row['snr_db']['mean']:.2f}", f"{row['correlation']['mean']:.4f}",
            f"{row['spectrum_db']:.2f}"]
