"""The command evaluate-samples."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from ecgvae.cli.app import MODELS, Json, Overwrite, Quiet, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.paths import check_exists, check_file_output, check_model, check_records, check_store
from ecgvae.cli.remarks import list_remarks
from ecgvae.cli.terminal import Progress, remark, show, show_json, show_table
from ecgvae.cli.text import to_json
from ecgvae.wording import count, count_is

if TYPE_CHECKING:
    from ecgvae.tokenizer import Tokenizer

ROW_NAMES = {"samples": "samples", "decoded": "decoded real", "validation": "real, validation split",
             "training": "real, training split", "samples_against_decoded": "samples vs decoded",
             "reference": "real, reference"}
SPACE_NAMES = {"random": "random network", "classifier": "classifier"}
DISTANCES = {"frechet": "Fréchet", "frechet_ratio": "/ floor", "precision": "precision", "recall": "recall",
             "density": "density", "coverage": "coverage", "clipped_density": "clipped density",
             "clipped_coverage": "clipped coverage"}
UTILITY = {"tstr": "TSTR", "trtr": "TRTR", "ratio": "TSTR / TRTR", "trts": "TRTS", "agreement": "agreement"}
FEW_RECORDS = 100       # below which neighbours are far apart


@app.command(rich_help_panel=MODELS,
             epilog=examples("ecgvae evaluate-samples new store",
                             "ecgvae evaluate-samples new store --split test --out report.json",
                             "ecgvae evaluate-samples new store --tokenizer ptbxl-vqvae-conv --codebooks 4"))
def evaluate_samples(
    samples: Annotated[Path, Argument(metavar="SAMPLES", help="Generated ECGs: a folder of WFDB records, a store or a "
                                                              "token file (.parquet).")],
    store: Annotated[Path, Argument(metavar="STORE", help="Store of real ECGs, with a training split.")],
    split: Annotated[Literal["validation", "test"], Option(help="Real records to compare with.")] = "validation",
    tokenizer: Annotated[str | None, Option(help="Tokenizer whose decoded tokens of real ECGs are measured too. "
                                                 "Default: the one that the samples name.",
                                            autocompletion=shipped_models, show_default=False)] = None,
    codebooks: Annotated[int | None, Option(min=1, help="Number of its first codebooks. Default: those of the "
                                                        "samples, else all.", show_default=False)] = None,
    out: Annotated[Path | None, Option(help="JSON file to which the report is also written. Default: none.")] = None,
    cache: Annotated[Path | None, Option(help="Folder of the classifiers that have been trained for stores. Default: "
                                              "the user's cache.", show_default=False)] = None,
    seed: Annotated[int, Option(min=0, help="Seed of the networks and of all that is drawn.")] = 0,
    as_json: Json = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measures how near generated ECGs are to real ones.

    The same is measured for other real ECGs and for decoded ones, which shows what can be reached.
    The first time a classifier is trained on the store, which takes some minutes.
    """
    check_store(store)
    if samples.suffix == ".parquet":
        check_exists(samples, "a token file")
    else:
        check_records([samples], "a record, a folder of records, a store or a token file")
    if out:
        check_file_output(out, overwrite, ".json", (samples, store))
    if tokenizer:
        check_model(tokenizer)
    from ecgvae.data.store import Store
    from ecgvae.evaluation.generation import gather, measure
    from ecgvae.files import write_atomically

    known, codebooks = choose_tokenizer(samples, tokenizer, codebooks)
    with StagedProgress() as progress:
        material = gather(samples, Store(store), split, known, codebooks, cache, seed, progress)
        report = {"samples": str(samples), **measure(material, progress)}
    if out:     # before printing, which a closed pipe ends
        write_atomically(out, lambda path: path.write_text(to_json(report) + "\n", encoding="utf-8"))
    if as_json:
        show_json(report)
    else:
        show_report(report)


def choose_tokenizer(samples: Path, tokenizer: str | None, codebooks: int | None
                     ) -> "tuple[Tokenizer | None, int | None]":
    """The tokenizer that is given, else the one that the samples name, and the number of its codebooks to use."""
    from ecgvae.evaluation.generation.origin import find_tokenizer
    from ecgvae.tokenizer import Tokenizer

    if tokenizer:
        loaded = Tokenizer.load(tokenizer, "cpu")
        return loaded, loaded.check_codebooks(codebooks)
    if found := find_tokenizer(samples):
        return found[0], found[0].check_codebooks(codebooks or found[1])
    if codebooks:
        raise ValueError(f"--codebooks {codebooks} without a tokenizer; wanted --tokenizer too")
    return None, None


class StagedProgress:
    """Progress of a job in stages, each of which counts something else."""

    def __init__(self) -> None:
        self.current: Progress | None = None

    def __enter__(self) -> "StagedProgress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.current:
            self.current.__exit__(*error)

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self.current is None or self.current.unit != stage:
            before, self.current = self.current, Progress(stage)
            if before:
                before.__exit__()
                self.current.last_line = before.last_line
        self.current(done, total)


def show_report(report: dict) -> None:
    """Prints a report: what is compared, then a table for each section."""
    records, compared = report["records"], report["compared"]
    list_remarks("left out", [(name, text) for name, text in report["left_out"]])
    list_remarks("notes", [(name, text) for name, text in report["notes"]])
    show(f"{count(records['samples'], 'sample')} of {report['seconds']:g} s at {report['rate']:g} Hz against "
         f"{count(records['reference'], 'real record')} ({report['split']}) of {report['store']}, "
         f"{compared:,} at a time")
    for line in describe_data(report):
        show(line)
    sections = report["sections"]
    for space, rows in sections["distances"].items():
        show(f"\nFeatures of a {SPACE_NAMES[space]}")
        areas = sections["discriminator"][space]
        show_table(["", *DISTANCES.values(), "discriminator"],
                   [[ROW_NAMES[row], *(cell(values.get(name)) for name in DISTANCES), cell(areas.get(row))]
                    for row, values in {**rows, **dict.fromkeys(areas.keys() - rows.keys(), {})}.items()])
    if sections["utility"]:
        show("\nSuperclasses: macro-AUC")
        show_table(["", *UTILITY.values()], [[ROW_NAMES[row], *(cell(values.get(name)) for name in UTILITY)]
                                             for row, values in sections["utility"].items()])
    remark("intervals are in the report (--json, --out)")


def describe_data(report: dict) -> list[str]:
    """Lines on what a reader must know about the sets of a report."""
    lines, samples = [], report["records"]["samples"]
    if left_out := len(report["left_out"]):
        lines.append(f"{count_is(left_out, 'record')} left out")
    if resampled := sum("sampled from" in note for _, note in report["notes"]):
        lines.append(f"{count_is(resampled, 'record')} resampled to {report['rate']:g} Hz")
    if report["compared"] < FEW_RECORDS:
        lines.append(f"distances of so few records are rough; {FEW_RECORDS} or more samples are better")
    if report["labelled"] < samples:
        lines.append(f"{count(samples - report['labelled'], 'sample')} without superclasses, which do not count for "
                     "TSTR, TRTS and agreement")
    if used := report["tokenizer"]:
        codebooks = count(used["codebooks"], "codebook")
        lines.append(f"decoded real is the training split by {used['name']} with {codebooks}")
    else:
        lines.append("the samples name no tokenizer that is here, so decoded real ECGs are not measured (--tokenizer)")
    if "classifier" not in report["sections"]["distances"]:
        lines.append("the store has no superclasses, so there is no classifier")
    return lines


def cell(value: dict | float | None) -> str:
    """A metric in a table, with or without an interval; a dash if it was not measured."""
    number = value["value"] if isinstance(value, dict) else value
    if number is None or number != number:
        return "-"
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}" if abs(number) >= 10 else f"{number:.3f}"
