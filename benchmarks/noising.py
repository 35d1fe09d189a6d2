"""What the recipe's noise block adds to the time of a training step.

A step noises the batch, runs the model forward and backward and moves the weights (AdamW), on batches like
those of training but simulated. Steps without noise and with each kind of it are taken in turns in one process;
what is printed are medians, and the median over the rounds of the time that noise adds to the step beside it.
On a busy machine that is less exact than the time of the noise by itself, which is printed too.

    python benchmarks/noising.py recipes/ptbxl/vqvae.yaml
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from ecgvae.models import build
from ecgvae.signal import fit
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training.noising import Noise, Noising
from ecgvae.training.recipe import Recipe, read_recipe

BLOCKS = {"none": None, "half clean": Noise(), "diffusion": Noise(clean=0), "artefacts": Noise(clean=0, artefacts=1)}


def batch(recipe: Recipe, size: int) -> torch.Tensor:
    """Simulated signals (b, coded leads, t) of the recipe's window."""
    signal = recipe.model.signal
    records = [simulate(CONDITIONS[index % len(CONDITIONS)], recipe.training.window, signal.rate, index)
               for index in range(size)]
    matrix, _ = fit(records[0].leads, signal.coded)
    return torch.stack([torch.from_numpy(matrix @ record.signal).float() for record in records])


def stepper(recipe: Recipe, x: torch.Tensor) -> Callable[[Noising | None, int], None]:
    """A function that does one training step, with noise or without."""
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


def timed(function: Callable, *values) -> float:
    """Milliseconds, the device's work included."""
    start = time.perf_counter()
    function(*values)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Print a line for each kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a recipe, whose model and batches are used")
    parser.add_argument("--rounds", type=int, default=15, help="timed steps of each kind (default 15)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = read_recipe(args.recipe)
    x = batch(recipe, recipe.training.batch_size).to(device)
    step = stepper(recipe, x)
    kinds = {name: block and Noising(block, recipe.model.signal.rate, device) for name, block in BLOCKS.items()}
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(-2, args.rounds):
        for name, noising in kinds.items():
            milliseconds = timed(step, noising, number + 2)
            if number >= 0:
                taken[name].append(milliseconds)
    print(f"{tuple(x.shape)} on {device}, {args.threads} threads, {args.rounds} steps of each")
    for name, values in taken.items():
        added = statistics.median(value / plain - 1 for value, plain in zip(values, taken["none"], strict=True))
        alone = 0.0 if kinds[name] is None else statistics.median(
            timed(kinds[name], x, torch.Generator().manual_seed(number)) for number in range(args.rounds))
        whole = statistics.median(values)
        print(f"{name:12} step {whole:8.1f} ms, {100 * added:+5.1f} %; "
              f"noise by itself {alone:6.2f} ms, {100 * alone / whole:4.1f} % of a step")


if __name__ == "__main__":
    main()
