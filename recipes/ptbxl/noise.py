"""What noising the input is good for: trains a model for every way of it, and prints what each can do.

    python recipes/ptbxl/noise.py ptbxl.store runs/noise --recordings nstdb --steps 500

w is the weight of x_0 in x_t + w x_0, t how its step is drawn, clean the share of records left as they are; the last
way gives half of the noised records artefacts instead, from the first half of each recording. Measured
are PRDN of clean records, PRDN from the clean signal when noise is added at 20, 10, 5 and 0 dB, and a linear probe's
AUC on clean and on noisy records. Interrupted, it goes on where it was.
"""

import argparse
import json
from functools import partial
from itertools import product
from pathlib import Path

import torch

from ecgvae import checkpoint
from ecgvae.cli.terminal import Progress, show_table
from ecgvae.data.jobs import write_atomically
from ecgvae.data.store import Store
from ecgvae.evaluation.denoising import LEVELS, denoising, held_out_noises
from ecgvae.evaluation.probe import probe
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.training.loop import train
from ecgvae.training.recipe import read_recipe

WAYS = [{"clean": 1.0}, *({"w": w, "draw": draw, "clean": clean} for w, draw, clean in
                          product((0, 1), ("uniform", "low-noise"), (0, 0.5))),
        {"w": 1, "draw": "low-noise", "clean": 0.5, "artefacts": 0.5}]
PROBED = "muscle", 5        # noise of the noisy records that the probe reads, and its SNR in dB


def run(way: dict, args: argparse.Namespace, store: Store) -> dict:
    """Train with one way of noising and measure, or read what an earlier call found."""
    name = "-".join(f"{key}={value}" for key, value in way.items())
    path = args.out / name / f"report-{args.split}.json"
    if path.exists():
        return json.loads(path.read_text())
    recordings = {"recordings": str(args.recordings)} if args.recordings and way.get("artefacts") else {}
    changes = [f"training.steps={args.steps}", f"training.warmup={args.steps // 10}",
               f"training.validate_every={args.steps}", f"noise={json.dumps(way | recordings)}"]
    recipe = read_recipe(args.recipe, tuple(changes))
    with Progress(f"steps of {name}") as progress:
        folder = train(recipe, store, args.out / name, resume=(args.out / name / "recipe.json").exists(),
                       progress=lambda step, logged: progress(step, args.steps, []))
    model, noises = checkpoint.load(folder, "auto"), held_out_noises(store.rate, args.recordings)
    kind, level = PROBED
    corrupt = partial(noises[kind], snr_db=level, generator=torch.Generator(model.expansion.device).manual_seed(0))
    report = {**way, "rows": evaluate(folder, store, args.split)["rows"],
              "denoising": denoising(model, store, args.split, noises),
              "auc": probe(model, store, args.split).auc,
              "noisy_auc": probe(model, store, args.split, lambda x: corrupt(x)).auc}
    write_atomically(path, lambda partial: partial.write_text(json.dumps(report, indent=1)))
    return report


def named(report: dict) -> str:
    """How a model's input was noised, in words."""
    if report["clean"] == 1:
        return "no noise"
    artefacts = f", {report['artefacts']:g} of the rest artefacts" if "artefacts" in report else ""
    return f"w = {report['w']}, t {report['draw']}, {report['clean']:g} clean{artefacts}"


def errors(report: dict, noise: str, which: str = "prdn") -> list[str]:
    """PRDN at each SNR of a noise."""
    return [f"{row[which]['mean']:.1f}" for row in report["denoising"] if row["noise"] == noise]


def show(reports: list[dict]) -> None:
    """What each model does with clean records, then with each noise."""
    kind, level = PROBED
    show_table(["trained with", "PRDN %", "AUC", f"AUC, {kind} {level} dB"],
               [[named(report), f"{report['rows'][-1]['prdn']['mean']:.1f}", f"{report['auc']:.3f}",
                 f"{report['noisy_auc']:.3f}"] for report in reports])
    for noise in dict.fromkeys(row["noise"] for row in reports[0]["denoising"]):
        print(f"\nPRDN % from the clean signal, {noise}")
        show_table(["trained with", *(f"{level} dB" for level in LEVELS)],
                   [["(the noisy signal itself)", *errors(reports[0], noise, "noisy_prdn")],
                    *([named(report), *errors(report, noise)] for report in reports)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).with_name("ae.yaml"), help="default ae.yaml")
    parser.add_argument("--recordings", type=Path, help="folder of recorded noise (nstdb); its second half tests")
    parser.add_argument("--steps", type=int, default=500, help="of every training (default 500)")
    parser.add_argument("--split", default="validation", help="of the store to measure on (default validation)")
    args = parser.parse_args()
    store = Store(args.store)
    show([run(way, args, store) for way in WAYS])


if __name__ == "__main__":
    main()
