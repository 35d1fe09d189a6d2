"""The time that the recipe's block `noise` adds to a training step.

A step noises a batch, runs the model forward and backward and updates the weights (AdamW). Batches are simulated and
have the size of those in training. In every round one process takes a step without noise and one with each kind of
noise. The script prints median times, and the median over rounds of the time that noise adds to the step. On a busy
machine the time of the noise alone, which is also printed, is more exact.

    python benchmarks/noising.py recipes/ptbxl/vqvae.yaml
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from ecgvae.models import build
from ecgvae.signal import fit_leads
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training.noising import NoiseSettings, Noising
from ecgvae.training.recipe import Recipe, read_recipe

BLOCKS = {"none": None, "half clean": NoiseSettings(), "diffusion": NoiseSettings(clean=0),
          "artefacts": NoiseSettings(clean=0, artefacts=1)}


def simulate_batch(recipe: Recipe, size: int) -> torch.Tensor:
    """Simulated signals (b, coded leads, t) of the recipe's window."""
    signal = recipe.model.signal
    records = [simulate(CONDITIONS[index % len(CONDITIONS)], recipe.training.window, signal.rate, index)
               for index in range(size)]
    matrix, _ = fit_leads(records[0].leads, signal.coded)
    return torch.stack([torch.from_numpy(matrix @ record.signal).float() for record in records])


def make_step(recipe: Recipe, x: torch.Tensor) -> Callable[[Noising | None, int], None]:
    """A function that takes one training step with or without noise."""
    torch.manual_seed(0)
    model = build(recipe.model).to(x.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)

    def step(noising: Noising | None, number: int) -> None:
        noised, target = noising(x, torch.Generator().manual_seed(number)) if noising else (x, x)
        result = model(noised)
        loss = (result.signal - target).square().mean() + sum(result.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return step


def milliseconds(function: Callable, *values) -> float:
    """The time of a call, including its work on a GPU."""
    start = time.perf_counter()
    function(*values)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Prints a line for each kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="the recipe whose model and batch size are used")
    parser.add_argument("--rounds", type=int, default=15, help="timed steps of each kind (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = read_recipe(args.recipe)
    x = simulate_batch(recipe, recipe.training.batch_size).to(device)
    step = make_step(recipe, x)
    rate = recipe.model.signal.rate
    kinds = {name: None if block is None else Noising(block, rate, device) for name, block in BLOCKS.items()}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(-2, args.rounds):
        for name, noising in kinds.items():
            elapsed = milliseconds(step, noising, number + 2)
            if number >= 0:
                times[name].append(elapsed)
    print(f"{tuple(x.shape)} on {device}, {args.threads} threads, {args.rounds} steps of each")
    for name, values in times.items():
        added = statistics.median(value / plain - 1 for value, plain in zip(values, times["none"], strict=True))
        noising = kinds[name]
        noise_alone = 0.0 if noising is None else statistics.median(
            milliseconds(noising, x, torch.Generator().manual_seed(number)) for number in range(args.rounds))
        whole_step = statistics.median(values)
        print(f"{name:12} step {whole_step:8.1f} ms, {100 * added:+5.1f} %; "
              f"noise alone {noise_alone:6.2f} ms, {100 * noise_alone / whole_step:4.1f} % of a step")


if __name__ == "__main__":
    main()
