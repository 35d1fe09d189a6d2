"""Compares noise configurations: trains a model with each of them and prints the models' errors and probe AUCs.

    python recipes/ptbxl/noise.py ptbxl.store runs/noise --recordings nstdb --steps 500

In the tables, w is the weight of x_0 in x_t + w x_0 (`noise.x0_weight`), t is the distribution of timesteps
(`noise.timestep_sampling`), and clean is the share of records without noise. In the last configuration half of the
noised records get artefacts instead of diffusion noise, from the first half of each recording. The script measures the
PRDN of clean records, the PRDN from the clean signal when noise is added at 20, 10, 5 and 0 dB, and the AUC of a linear
probe on clean and on noisy records. If it is interrupted, the same command continues it.
"""

import argparse
import json
from itertools import product
from pathlib import Path

import torch

from ecgvae import checkpoint
from ecgvae.cli.terminal import Progress, show_table
from ecgvae.data.store import Store
from ecgvae.evaluation.denoising import SNRS_DB, denoising, held_out_noises
from ecgvae.evaluation.probe import probe
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.files import write_atomically
from ecgvae.training.loop import train
from ecgvae.training.recipe import read_recipe

CONFIGURATIONS: list[dict] = [
    {"clean": 1.0},
    *({"x0_weight": weight, "timestep_sampling": sampling, "clean": clean}
      for weight, sampling, clean in product((0, 1), ("uniform", "low-noise"), (0, 0.5))),
    {"x0_weight": 1, "timestep_sampling": "low-noise", "clean": 0.5, "artefacts": 0.5},
]
FOLDER_KEYS = {"x0_weight": "w", "timestep_sampling": "draw"}       # short keys in the names of the runs' folders
PROBE_NOISE = "muscle", 5        # noise and SNR in dB of the noisy records of the probe


def run(configuration: dict, args: argparse.Namespace, store: Store) -> dict:
    """Trains and measures a model with one configuration, or reads the report of an earlier call."""
    name = "-".join(f"{FOLDER_KEYS.get(key, key)}={value}" for key, value in configuration.items())
    path = args.out / name / f"report-{args.split}.json"
    if path.exists():
        return json.loads(path.read_text()) | configuration
    recordings = {"recordings": str(args.recordings)} if args.recordings and configuration.get("artefacts") else {}
    overrides = [f"training.steps={args.steps}", f"training.warmup={args.steps // 10}",
                 f"training.validate_every={args.steps}", f"noise={json.dumps(configuration | recordings)}"]
    recipe = read_recipe(args.recipe, tuple(overrides))
    with Progress(f"steps of {name}") as progress:
        folder = train(recipe, store, args.out / name, resume=(args.out / name / "recipe.json").exists(),
                       progress=lambda step, logged: progress(step, args.steps))
    model, noises = checkpoint.load(folder, "auto"), held_out_noises(store.rate, args.recordings)
    kind, snr_db = PROBE_NOISE
    generator = torch.Generator(model.expansion.device).manual_seed(0)
    report = {**configuration, "rows": evaluate(folder, store, args.split)["rows"],
              "denoising": denoising(model, store, args.split, noises),
              "auc": probe(model, store, args.split).auc,
              "noisy_auc": probe(model, store, args.split, lambda x: noises[kind](x, snr_db, generator)).auc}
    write_atomically(path, lambda partial: partial.write_text(json.dumps(report, indent=1)))
    return report


def describe(report: dict) -> str:
    """The configuration of a report, as text."""
    if report["clean"] == 1:
        return "no noise"
    artefacts = f", {report['artefacts']:g} of the rest artefacts" if "artefacts" in report else ""
    return f"w = {report['x0_weight']}, t {report['timestep_sampling']}, {report['clean']:g} clean{artefacts}"


def errors(report: dict, noise: str, key: str = "prdn") -> list[str]:
    """PRDN at each SNR of one kind of noise."""
    return [f"{row[key]['mean']:.1f}" for row in report["denoising"] if row["noise"] == noise]


def show(reports: list[dict]) -> None:
    """Prints a table for clean records and the probe, then one for each noise."""
    kind, snr_db = PROBE_NOISE
    show_table(["trained with", "PRDN %", "AUC", f"AUC, {kind} {snr_db} dB"],
               [[describe(report), f"{report['rows'][-1]['prdn']['mean']:.1f}", f"{report['auc']:.3f}",
                 f"{report['noisy_auc']:.3f}"] for report in reports])
    for noise in dict.fromkeys(row["noise"] for row in reports[0]["denoising"]):
        print(f"\nPRDN % from the clean signal, {noise}")
        show_table(["trained with", *(f"{snr_db} dB" for snr_db in SNRS_DB)],
                   [["(the noisy signal itself)", *errors(reports[0], noise, "noisy_prdn")],
                    *([describe(report), *errors(report, noise)] for report in reports)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="PTB-XL store (datasets/ptbxl/prepare.py)")
    parser.add_argument("out", type=Path, help="folder for the runs")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).with_name("ae.yaml"), help="default ae.yaml")
    parser.add_argument("--recordings", type=Path,
                        help="folder of recorded noise (nstdb); training uses its first half, the test its second")
    parser.add_argument("--steps", type=int, default=500, help="steps of every training (default 500)")
    parser.add_argument("--split", default="validation", help="split of the store to measure on (default validation)")
    args = parser.parse_args()
    store = Store(args.store)
    show([run(configuration, args, store) for configuration in CONFIGURATIONS])


if __name__ == "__main__":
    main()
