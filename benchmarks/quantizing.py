"""A training step of ecgvae's quantizer beside vector-quantize-pytorch's: time and memory.

A step is forward and backward in training mode with moving averages and a straight-through
gradient, over 64 x 125 vectors of 64 numbers. Times are taken in turns in one process. Memory is
the highest resident size of a process of its own for each side, over what it held before its first
full step (read from /proc, so on Linux). Ours also revives dead codes in every step; the library's
option for that stays off, as by default. glibc gives large blocks back to the system at every step,
which costs the library more than us; with MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 in the
environment it does not.

    pip install vector-quantize-pytorch
    python benchmarks/quantizing.py --sizes 1024,8192
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SIDES = ("ecgvae", "library")
BATCH, DIM, FRAMES = 64, 64, 125


def stepper(side: str, size: int) -> Callable:
    """A function that does one training step on latents (b, d, n)."""
    if side == "ecgvae":
        from ecgvae.nn.quantize import ResidualVectorQuantizer

        quantizer = ResidualVectorQuantizer(DIM, size, decay=0.99).train()

        def forward(z):
            out = quantizer(z)
            return out.z, out.losses["commitment"]
    else:
        from vector_quantize_pytorch import VectorQuantize

        quantizer = VectorQuantize(DIM, size, decay=0.99, rotation_trick=False, channel_last=False).train()

        def forward(z):
            quantized, _, commitment = quantizer(z)
            return quantized, commitment.sum()

    def step(z) -> None:
        z = z.requires_grad_()
        quantized, commitment = forward(z)
        (quantized.mean() + commitment).backward()
        if z.grad is None or not z.grad.any():
            raise RuntimeError(f"{side}: no gradient reached the latents")

    return step


def latents(batch: int = BATCH, frames: int = FRAMES, seed: int = 0):
    """Random latents (b, d, n)."""
    import torch

    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def status(field: str) -> float:
    """A size of this process in MiB, from Linux's own account."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def measure_memory(side: str, size: int, steps: int, threads: int) -> None:
    """Print the MiB that full steps add to the peak of this process, after a tiny step to load libraries."""
    import torch

    torch.set_num_threads(threads)
    step = stepper(side, size)
    step(latents(1, 4))
    batches = [latents(seed=seed) for seed in range(steps)]
    ctypes.CDLL(None).malloc_trim(0)  # else memory that the tiny step freed would hide some of the full ones
    Path("/proc/self/clear_refs").write_text("5")  # the peak (VmHWM) starts again from here: see proc(5)
    before = status("VmRSS")
    for z in batches:
        step(z)
        z.grad = None
    print(status("VmHWM") - before)


def memory(side: str, size: int, threads: int) -> float:
    """Peak MiB of one side, by a fresh process."""
    command = [sys.executable, __file__, "--measure", side, "--sizes", str(size), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def times(size: int, rounds: int, sides: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each side in each round, taken in turns on the same latents; two rounds warm up."""
    steps = {side: stepper(side, size) for side in sides}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 2):
        for side, step in steps.items():
            z = latents(seed=number)
            start = time.perf_counter()
            step(z)
            if number >= 2:
                taken[side].append(1000 * (time.perf_counter() - start))
    return taken


def main() -> None:
    """Print a table with a line for each codebook size."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sizes", default="1024,8192", help="codebook sizes (default 1024,8192)")
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each side (default 9)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--measure", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.measure:
        measure_memory(args.measure, sizes[0], 5, args.threads)
        return
    sides = list(SIDES)
    if importlib.util.find_spec("vector_quantize_pytorch") is None:
        print("vector_quantize_pytorch is not installed here; its side is left out")
        sides.remove("library")
    peaks = {size: {side: memory(side, size, args.threads) for side in sides} for size in sizes}
    import torch  # only now: a child's peak would start from a large parent's

    torch.set_num_threads(args.threads)
    print(f"{BATCH} x {FRAMES} vectors of {DIM}, {args.threads} threads, median of {args.rounds} (range)")
    for size in sizes:
        taken = times(size, args.rounds, sides)
        middle = {side: statistics.median(values) for side, values in taken.items()}
        for side, values in taken.items():
            spread = f"({min(values):.1f}-{max(values):.1f})"
            print(f"K={size:<6} {side:8} {middle[side]:8.1f} ms {spread:16} {peaks[size][side]:8.1f} MiB")
        if len(sides) == 2:
            slower, larger = (side["library"] / side["ecgvae"] for side in (middle, peaks[size]))
            print(f"K={size:<6} library / ecgvae: {slower:.1f} x the time, {larger:.1f} x the memory")


if __name__ == "__main__":
    main()
