"""Trains every family with every backbone for the same number of steps, and prints a table of their results.

    python recipes/ptbxl/compare.py ptbxl.store runs/compare

If it is interrupted, the same command continues it. The report of every run is OUT/NAME/report-SPLIT.json.
"""

import argparse
import json
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.catalogue import cost
from ecgvae.cli.terminal import Progress, show_table
from ecgvae.data.store import Store
from ecgvae.evaluation.likelihood import likelihood
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.evaluation.samples import sample_quality
from ecgvae.files import write_atomically
from ecgvae.training.loop import train
from ecgvae.training.recipe import Recipe, read_recipe
from ecgvae.training.speed import seconds_per_step

FAMILIES = ("ae", "vae", "cvae", "vqvae", "vqvae2", "vqgan")
BACKBONES = ("conv", "transformer")
RECORD_SECONDS = 10
COLUMNS = ["model", "M parameters", "MFLOP/s", "records/s", "bit/s", "entropy bit/s", "numbers/s", "PRDN %",
           "spectrum dB", "codes used %", "active %", "samples: Fréchet ratio", "samples: spectrum dB"]


def make_recipe(family: str, backbone: str, size: str, steps: int) -> Recipe:
    """The family's recipe with a backbone and a number of steps; a VQGAN's discriminators start after 60 % of them."""
    overrides = [f"model.backbone={backbone}-{size}", f"training.steps={steps}", f"training.warmup={steps // 10}",
                 f"training.validate_every={steps}"]
    if family == "vqgan":
        overrides += [f"adversarial.start={steps * 3 // 5}", f"adversarial.ramp={max(1, steps // 10)}"]
    return read_recipe(Path(__file__).with_name(f"{family}.yaml"), tuple(overrides))


def run(name: str, recipe: Recipe, store: Store, out: Path, split: str) -> dict:
    """Trains and measures a model, or reads the report of an earlier call."""
    path = out / name / f"report-{split}.json"
    if path.exists():
        return json.loads(path.read_text())
    with Progress(f"steps of {name}") as progress:
        model = train(recipe, store, out / name, resume=(out / name / "recipe.json").exists(),
                      progress=lambda step, logged: progress(step, recipe.training.steps))
    report = {"name": name, **cost(recipe.model), **evaluate(model, store, split)}
    if recipe.model.family in ("vae", "cvae"):
        report["likelihood"] = likelihood(model, store, split)
        report["samples"] = sample_quality(checkpoint.load(model), store, split)
    write_atomically(path, lambda partial: partial.write_text(json.dumps(report, indent=1)))
    return report


def records_per_step(recipe: Recipe) -> float:
    """ECG of a step, in records of 10 s."""
    return recipe.training.batch_size * recipe.training.window / RECORD_SECONDS


def table_row(report: dict, speed: float) -> list[str]:
    """The row of a model at its highest rate; "-" for columns that do not apply to it."""
    last, bounds, samples = report["rows"][-1], report.get("likelihood", {}), report.get("samples", {})

    def cell(values: dict, key: str, digits: int, factor: float = 1) -> str:
        return f"{values[key] * factor:.{digits}f}" if key in values else "-"
    return [report["name"], f"{report['parameters'] / 1e6:.2f}", f"{report['mflop_per_second']:.0f}",
            f"{speed:.0f}", cell(last, "bits_per_second", 0), cell(last, "entropy_bits_per_second", 0),
            cell(last, "latent_per_second", 0), f"{last['prdn']['mean']:.1f}", f"{last['spectrum_db']:.2f}",
            cell(last, "usage", 1, 100), cell(bounds, "active_share", 0, 100), cell(samples, "frechet_ratio", 1),
            cell(samples, "spectrum_db", 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("out", type=Path, help="folder for the runs and the table")
    parser.add_argument("--steps", type=int, default=5500, help="steps of every training (default 5500)")
    parser.add_argument("--size", default="small", choices=("tiny", "small", "base"))
    parser.add_argument("--families", default=",".join(FAMILIES), help=f"some of {','.join(FAMILIES)}")
    parser.add_argument("--backbones", default=",".join(BACKBONES), help=f"some of {','.join(BACKBONES)}")
    parser.add_argument("--split", default="validation", help="split of the store to measure on (default validation)")
    args = parser.parse_args()
    store = Store(args.store)
    recipes = {f"{family}-{backbone}": make_recipe(family, backbone, args.size, args.steps)
               for family in args.families.split(",") for backbone in args.backbones.split(",")}
    reports = [run(name, recipe, store, args.out, args.split) for name, recipe in recipes.items()]
    seconds = seconds_per_step(recipes, store)
    table = [table_row(report, records_per_step(recipes[report["name"]]) / seconds[report["name"]])
             for report in reports]
    write_atomically(args.out / f"table-{args.split}.json", lambda path: path.write_text(json.dumps([COLUMNS, *table])))
    show_table(COLUMNS, table)
    quantized = [report for report in reports if report["codebooks"]]
    if quantized:
        rates = sorted({round(row["bits_per_second"]) for report in quantized for row in report["rows"]})
        print("\nPRDN % by bit/s")
        show_table(["model", *map(str, rates)], [[report["name"], *by_rate(report, rates)] for report in quantized])


def by_rate(report: dict, rates: list[int]) -> list[str]:
    """PRDN at each of the bit rates; an empty cell if the model does not have that rate."""
    values = {round(row["bits_per_second"]): f"{row['prdn']['mean']:.1f}" for row in report["rows"]}
    return [values.get(rate, "") for rate in rates]


if __name__ == "__main__":
    main()
