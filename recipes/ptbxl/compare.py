"""Train every family with every backbone for the same number of steps, and print one table of them all.

    python recipes/ptbxl/compare.py ptbxl.store runs/compare --steps 500

Interrupted, it goes on where it was. Every run's report is OUT/NAME/report.json, the table is OUT/table.json.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from ecgvae import checkpoint
from ecgvae.catalogue import cost
from ecgvae.data.jobs import replace
from ecgvae.data.store import Store
from ecgvae.evaluation.likelihood import likelihood
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.evaluation.samples import sample_quality
from ecgvae.terminal import Progress, show_table
from ecgvae.training.loop import train
from ecgvae.training.recipe import Recipe, read_recipe

FAMILIES = ("ae", "vae", "cvae", "vqvae", "vqvae2", "vqgan")
BACKBONES = ("conv", "transformer")


def plan(family: str, backbone: str, size: str, steps: int) -> Recipe:
    """The family's recipe, with the backbone and for so many steps; an adversary comes for the last two fifths."""
    changes = [f"model.backbone={backbone}-{size}", f"training.steps={steps}", f"training.warmup={steps // 10}",
               f"training.validate_every={steps}", "training.average=0.99"]
    if family == "vqgan":
        changes += [f"adversarial.start={steps * 3 // 5}", f"adversarial.ramp={max(1, steps // 10)}"]
    return read_recipe(Path(__file__).with_name(f"{family}.yaml"), tuple(changes))


def run(name: str, recipe: Recipe, store: Store, out: Path, split: str) -> dict:
    """Train and measure one model, or read what an earlier call found."""
    path = out / name / f"report-{split}.json"
    if path.exists():
        return json.loads(path.read_text())
    speed = trained(name, recipe, store, out / name)
    model = out / name / "model"
    report = {"name": name, "records_per_second": speed, **cost(recipe.model), **evaluate(model, store, split)}
    if recipe.model.family in ("vae", "cvae"):
        report |= {"likelihood": likelihood(model, store, split), "samples": sample_quality(
            checkpoint.load(model), store, split)}
    replace(path, lambda partial: partial.write_text(json.dumps(report, indent=1)))
    return report


def trained(name: str, recipe: Recipe, store: Store, out: Path) -> float:
    """Train a model, and tell at how many records a second; the number is kept beside it."""
    path, times = out / "records-per-second.json", []
    with Progress(f"steps of {name}") as progress:
        def show(step: int, logged: dict[str, float]) -> None:
            times.append(time.perf_counter())
            progress(step, recipe.training.steps, [])

        train(recipe, store, out, resume=(out / "recipe.json").exists(), progress=show)
    if len(times) > 2:
        median = statistics.median(after - before for before, after in zip(times, times[1:], strict=False))
        path.write_text(json.dumps(recipe.training.batch_size / median))
    return json.loads(path.read_text())


def row(report: dict) -> list[str]:
    """A line of the table: a model with all that it has."""
    last, chances, samples = report["rows"][-1], report.get("likelihood", {}), report.get("samples", {})

    def shown(values: dict, key: str, digits: int, factor: float = 1) -> str:
        return f"{values[key] * factor:.{digits}f}" if key in values else "-"
    return [report["name"], f"{report['parameters'] / 1e6:.2f}", f"{report['mflop_per_second']:.0f}",
            f"{report['records_per_second']:.0f}", shown(last, "bits_per_second", 0),
            shown(last, "latent_per_second", 0), f"{last['prdn']['mean']:.1f}", f"{last['spectrum_db']:.2f}",
            shown(last, "usage", 1, 100), shown(chances, "active_units", 2), shown(samples, "frechet_ratio", 1),
            shown(samples, "spectrum_db", 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("out", type=Path, help="folder for the runs and the table")
    parser.add_argument("--steps", type=int, default=500, help="of every training (default 500)")
    parser.add_argument("--size", default="small", choices=("tiny", "small", "base"))
    parser.add_argument("--families", default=",".join(FAMILIES), help=f"some of {','.join(FAMILIES)}")
    parser.add_argument("--backbones", default=",".join(BACKBONES), help=f"some of {','.join(BACKBONES)}")
    parser.add_argument("--split", default="validation", help="of the store to measure on (default validation)")
    args = parser.parse_args()
    store = Store.open(args.store)
    reports = [run(f"{family}-{backbone}", plan(family, backbone, args.size, args.steps), store, args.out, args.split)
               for family in args.families.split(",") for backbone in args.backbones.split(",")]
    replace(args.out / f"table-{args.split}.json", lambda path: path.write_text(json.dumps(reports, indent=1)))
    show_table(["model", "M parameters", "MFLOP/s", "records/s", "bit/s", "numbers/s", "PRDN %", "spectrum dB",
                "codes used %", "active", "Fréchet", "samples' spectrum dB"], [row(report) for report in reports])
    coded = [report for report in reports if report["streams"]]
    if coded:
        rates = sorted({round(line["bits_per_second"]) for report in coded for line in report["rows"]})
        print("\nPRDN % by bit/s")
        show_table(["model", *map(str, rates)], [[report["name"], *by_rate(report, rates)] for report in coded])


def by_rate(report: dict, rates: list[int]) -> list[str]:
    values = {round(line["bits_per_second"]): f"{line['prdn']['mean']:.1f}" for line in report["rows"]}
    return [values.get(rate, "") for rate in rates]


if __name__ == "__main__":
    main()
