"""Trains every kind of prior for the same time, samples from each, and prints a table of how good the samples are.

    python recipes/ptbxl/compare_priors.py ptbxl.store runs/priors

Each kind takes as many steps as fit into the time at its speed on this machine (OUT/steps.json). The samples have the
conditions of the training records. If it is interrupted, the same command continues it. The run of each kind is
OUT/KIND, its samples are OUT/KIND-samples, and the report on them is OUT/KIND-SPLIT.json.
"""

import argparse
import csv
import json
import time
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.batch.sample import sample_files
from ecgvae.cli.samples_report import cell
from ecgvae.cli.terminal import Progress, show_table
from ecgvae.data.store import Store
from ecgvae.evaluation.generation import measure_samples
from ecgvae.evaluation.generation.origin import find_tokenizer
from ecgvae.evaluation.generation.tables import distance_table, physiology_table, utility_table
from ecgvae.files import write_atomically
from ecgvae.generation import Prior, SampleRequest
from ecgvae.training.loop import train
from ecgvae.training.recipe import AnyRecipe, read_recipe
from ecgvae.training.speed import seconds_per_step

KINDS = ("autoregressive", "pixelcnn", "masked", "latent")
EXACT = ("autoregressive", "pixelcnn")
TIMED_RECORDS = 32
ROWS = ["M parameters", "steps", "ms a record", "bit/s", "Fréchet / floor", "precision", "recall",
        "coverage", "AUC, real", "AUC, decoded", "TSTR / TRTR", "agreement", "KS heart rate", "KS QRS", "KS QT",
        "beats / real", "15-45 Hz, dB"]


def make_recipe(kind: str, steps: int | None = None) -> AnyRecipe:
    """The recipe of a kind of prior, with a number of steps."""
    overrides = () if steps is None else (f"training.steps={steps}", f"training.warmup={steps // 10}",
                                          f"training.validate_every={max(1, steps // 10)}")
    return read_recipe(Path(__file__).with_name(f"prior_{kind}.yaml"), overrides)


def steps_in(minutes: float, store: Store, out: Path) -> dict[str, int]:
    """How many steps of each kind fit into the time, measured once."""
    path = out / "steps.json"
    if not path.exists():
        seconds = seconds_per_step({kind: make_recipe(kind) for kind in KINDS}, store)
        steps = {kind: max(1, round(60 * minutes / own)) for kind, own in seconds.items()}
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda partial: partial.write_text(json.dumps(steps)))
    return json.loads(path.read_text())


def run(kind: str, steps: int, store: Store, out: Path, split: str, count: int | None) -> dict:
    """Trains a prior, samples from it and measures the samples, or reads the report of an earlier call."""
    path, folder = out / f"{kind}-{split}.json", out / kind
    if path.exists():
        return json.loads(path.read_text())
    with Progress(f"steps of {kind}") as progress:
        model = train(make_recipe(kind, steps), store, folder, resume=(folder / "recipe.json").exists(),
                      progress=lambda step, logged: progress(step, steps))
    prior, samples = Prior.load(model, "cpu"), out / f"{kind}-samples"
    conditions = tuple(prior.conditions_like(store)[:count])
    if not samples.exists():
        with Progress(f"samples of {kind}") as progress:
            sample_files(prior, SampleRequest(conditions), samples, progress=progress)
    tokenizer, codebooks = find_tokenizer(samples) or (None, None)
    report = {"kind": kind, "steps": steps, **checkpoint.prior_config(model)["facts"], "bits": bits(folder),
              "milliseconds": milliseconds(prior, conditions),
              **measure_samples(samples, store, split, tokenizer, codebooks)}
    write_atomically(path, lambda partial: partial.write_text(json.dumps(report, indent=1)))
    return report


def milliseconds(prior: Prior, conditions: tuple) -> float:
    """The time that a record takes to be sampled, in a block."""
    some = conditions[:TIMED_RECORDS]
    start = time.perf_counter()
    prior.sample(conditions=some)
    return 1000 * (time.perf_counter() - start) / len(some)


def bits(folder: Path) -> float | None:
    """The lowest code length in bits a second of a training's validations; None for a prior over a latent."""
    with (folder / "validation.csv").open(newline="") as file:
        values = [row.get("bits_per_second") for row in csv.DictReader(file)]
    return min(map(float, filter(None, values)), default=None)


def table_column(report: dict) -> list[str]:
    """The numbers of a prior, in the order of `ROWS`; distances are in the features of the random network."""
    sections = report["sections"]
    distances = distance_table(sections["distances"]["random"], sections["discriminator"]["random"])
    own, decoded = distances["samples"], distances.get("samples_against_decoded", {})
    utility = utility_table(sections["utility"]).get("samples", {})
    body = physiology_table(sections["physiology"]).get("samples", {})
    values = [*(own[name] for name in ("frechet_ratio", "precision", "recall", "coverage", "discriminator")),
              decoded.get("discriminator"), utility.get("ratio"), utility.get("agreement"),
              *(body.get(name) for name in ("heart_rate", "qrs", "qt", "beats", "spectrum_db_15_45"))]
    exact = "" if report["kind"] in EXACT else "at most "
    return [f"{report['parameters'] / 1e6:.2f}", f"{report['steps']:,}",
            f"{report['milliseconds']:.0f}", f"{exact}{report['bits']:.0f}" if report["bits"] else "-",
            *map(cell, values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("out", type=Path, help="folder for the runs, samples and reports")
    parser.add_argument("--minutes", type=float, default=30, help="time of every training (default 30)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--count", type=int, help="samples of each (default: as many as training records)")
    parser.add_argument("--split", default="validation", help="split of the store to compare with (default validation)")
    args = parser.parse_args()
    store = Store(args.store)
    steps = steps_in(args.minutes, store, args.out)
    reports = [run(kind, steps[kind], store, args.out, args.split, args.count) for kind in args.kinds.split(",")]
    columns = [table_column(report) for report in reports]
    show_table(["", *(report["kind"] for report in reports)],
               [list(row) for row in zip(ROWS, *columns, strict=True)])


if __name__ == "__main__":
    main()
