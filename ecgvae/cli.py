"""The command line: one function a verb, which parses, calls and prints."""

import csv
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from ecgvae.terminal import Progress, Verbs, count, list_remarks, say, show_facts, show_json, show_table, to_json

SHIPPED = "ptbxl-vqvae-conv"

app = typer.Typer(
    cls=Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)

Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of a table.")]
Missing = Annotated[Literal["error", "zero"], Option(help="Leave out records that lack a lead, or take it as 0 mV.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an output that exists.")]


def examples(*lines: str) -> str:
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


@app.callback(invoke_without_command=True, epilog=examples("ecgvae demo",
                                                           "ecgvae tokenize recordings --out tokens.parquet",
                                                           "ecgvae detokenize tokens.parquet --out decoded"))
def ecgvae(version: Annotated[bool, Option("--version", help="Print the version.")] = False) -> None:
    """ECG to tokens and back: prepare, train, tokenize, measure and draw."""
    if version:
        from ecgvae import __version__

        print(__version__)
        raise typer.Exit


@app.command(epilog=examples("ecgvae prepare ptb-xl/records100 store",
                             "ecgvae prepare recordings store --rate 250 --leads I,II,V1 --window 10"))
def prepare(
    source: Annotated[Path, Argument(metavar="SOURCE", help="Folder of WFDB records, searched with all below it.")],
    out: Annotated[Path, Argument(metavar="OUT", help="Folder of the store to make.")],
    rate: Annotated[float, Option(help="Sampling rate of the store, Hz.")] = 100,
    leads: Annotated[str, Option(help="standard-12, or names like I,II,V1.")] = "standard-12",
    window: Annotated[float | None, Option(help="Cut records into windows of so many seconds.")] = None,
    missing_leads: Missing = "error",
    workers: Annotated[int | None, Option(min=1, help="Processes; one a processor if not given.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a store of WFDB records.

    A store is what training and evaluation read: signals of one rate and with the same leads.
    """
    from ecgvae.data.prepare import build_store
    from ecgvae.signal import parse_leads

    with Progress("records") as progress:
        store = build_store(source, out, rate=rate, leads=parse_leads(leads), window=window, workers=workers,
                            missing=missing_leads, overwrite=overwrite, progress=progress)
    with open(out / "skipped.csv", newline="") as file:
        _, *skipped = csv.reader(file)
    list_left_out(skipped)
    what = count(len(store), "record" if window is None else "window")
    print(f"{what} with {count(len(store.leads), 'lead')} at {store.rate:g} Hz in {out}")


def list_left_out(remarks: Sequence[tuple[str, str]], path: Path | None = None) -> None:
    """Tell which records were left out and why, in a CSV file too where there is a path."""
    if path:
        from ecgvae.data.merge import write_skipped

        write_skipped(remarks, path)
    list_remarks("left out", remarks)
    if any("the model wants" in reason for _, reason in remarks):
        say("  (with --missing-leads zero, leads that a record lacks are taken as 0 mV)")


@app.command(epilog=examples("ecgvae train recipes/ptbxl/vqvae.yaml --data store --out run",
                             "ecgvae train recipe.yaml --data store --out run --set model.codebook_size=512",
                             "ecgvae train recipe.yaml --data store --out run --resume"))
def train(
    recipe: Annotated[Path, Argument(metavar="RECIPE", help="YAML file of the model and its training.")],
    data: Annotated[Path, Option(help="Store to train on, as made by prepare.")],
    out: Annotated[Path, Option(help="Folder of the run; the model will be in its folder model.")],
    set: Annotated[list[str] | None, Option(help="key.path=value in place of what the recipe has; repeatable.")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train a tokenizer on a store.

    On several GPUs: accelerate launch -m ecgvae train ...
    """
    from ecgvae.batch import processes
    from ecgvae.data.store import Store
    from ecgvae.training.loop import train as run
    from ecgvae.training.recipe import read_recipe

    group, plan, store = processes(), read_recipe(recipe, tuple(set or ())), Store.open(data)
    with Progress("steps") as progress:
        def show(step: int, logged: dict[str, float]) -> None:
            progress(step, plan.training.steps, learnt(logged))

        model = run(plan, store, out, resume, show)
    if group is None or group.is_main_process:
        print(f"model in {model}")


def learnt(logged: dict[str, float]) -> str:
    """The loss, and the validation's PRDN with the fewest codebooks and with all."""
    parts = [f"loss {logged['loss']:.3f}"] if "loss" in logged else []
    errors = [value for name, value in logged.items() if name.startswith("prdn_")]
    return ", ".join(parts + [f"PRDN {errors[0]:.1f} to {errors[-1]:.1f} %"] if errors else parts)


@app.command(epilog=examples("ecgvae tokenize recordings --out tokens.parquet",
                             "ecgvae tokenize a/100 b store --out tokens.parquet --codebooks 4",
                             "ecgvae tokenize recordings --out tokens.parquet --missing-leads zero"))
def tokenize(
    sources: Annotated[list[Path], Argument(metavar="SOURCE", help="Records, folders of them and stores.")],
    out: Annotated[Path, Option(help="Token file to write (Parquet).")],
    model: Annotated[str, Option(help="Tokenizer: a shipped name, or a folder.")] = SHIPPED,
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
    from ecgvae.batch import NothingDone, processes, refuse, tokenize_files
    from ecgvae.tokenizer import Tokenizer

    if skipped:
        refuse(skipped, overwrite)
    group = processes()
    tokenizer = Tokenizer.load(model, str(group.device) if group and device == "auto" else device)
    try:
        with Progress("records") as progress:
            summary = tokenize_files(sources, out, tokenizer, codebooks=codebooks, missing=missing_leads,
                                     batch_size=batch_size, overwrite=overwrite, progress=progress)
    except NothingDone as error:
        list_left_out(error.skipped, skipped)
        raise
    if summary:     # else another process has it
        list_left_out(summary.skipped, skipped)
        list_remarks("notes", summary.noted, most=5)
        rate = bits(tokenizer.header(codebooks))
        print(f"{count(summary.records, 'record')}, {summary.seconds:,.0f} s of ECG at {rate:g} bit/s, in {out}")


def bits(header) -> float:
    from ecgvae.metrics import bits_per_second

    return bits_per_second(header.streams, header.rate)


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
    from ecgvae.batch import refuse
    from ecgvae.data.jobs import replace
    from ecgvae.data.store import Store
    from ecgvae.evaluation.reconstruction import evaluate as measure

    if out:
        refuse(out, overwrite)
        out.parent.mkdir(parents=True, exist_ok=True)
    with Progress("records") as progress:
        report = measure(model, Store.open(store), split, device, batch_size, progress)
    show_json(report) if as_json else show_report(report)
    if out:
        replace(out, lambda path: path.write_text(to_json(report) + "\n"))


def show_report(report: dict) -> None:
    errors = ["PRDN %", "median", "95 %", "RMSE µV", "median", "95 %", "SNR dB", "correlation", "spectrum dB"]
    print(f"{report['model']} on {report['records']:,} records ({report['split']}) of {report['store']}")
    if not report["streams"]:
        show_table(["numbers/s", *errors],
                   [[f"{row['latent_per_second']:g}", *errors_of(row)] for row in report["rows"]])
        return
    columns = ["codebooks", "bit/s", "entropy bit/s", *errors, "used %", "perplexity"]
    rows = [[str(row["codebooks"]), f"{row['bits_per_second']:.0f}", f"{row['entropy_bits_per_second']:.0f}",
             *errors_of(row), f"{100 * row['usage']:.1f}", f"{stream['perplexity']:.0f}"]
            for row, stream in zip(report["rows"], report["streams"], strict=True)]
    show_table(columns, rows)


def errors_of(row: dict) -> list[str]:
    summaries = [f"{row[name][key]:.{digits}f}" for name, digits in (("prdn", 2), ("rmse_uv", 1))
                 for key in ("mean", "median", "p95")]
    return [*summaries, f"{row['snr_db']['mean']:.2f}", f"{row['correlation']['mean']:.4f}",
            f"{row['spectrum_db']:.2f}"]


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
    model: Annotated[str, Option(help="Tokenizer: a shipped name, or a folder.")] = SHIPPED,
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


def main() -> None:
    """The command `ecgvae`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="ecgvae")
