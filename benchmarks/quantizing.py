"""Time and memory of a training step of ecgvae's quantizer, compared with vector-quantize-pytorch's.

A step is forward and backward in training mode, with moving averages and a straight-through gradient, on 64 x 125
vectors of 64 numbers. Times are measured in one process, in which the two take turns. Memory is measured in a process
for each: the peak of its resident size, less the size before the first full step (read from /proc, so only on Linux).
ecgvae also revives dead codes in every step; the library's option for that is off, which is its default. glibc returns
large blocks to the system in every step, which costs the library more time than ecgvae; it does not with
MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 in the environment.

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

PACKAGES = ("ecgvae", "library")
BATCH, DIM, FRAMES = 64, 64, 125


def make_step(package: str, size: int) -> Callable:
    """A function that takes one training step on latents (b, d, n)."""
    if package == "ecgvae":
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
            raise RuntimeError(f"{package}: no gradient reached the latents")

    return step


def latents(batch: int = BATCH, frames: int = FRAMES, seed: int = 0):
    """Random latents (b, d, n)."""
    import torch

    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def process_status(field: str) -> float:
    """A memory size of this process in MiB, from /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def measure_memory(package: str, size: int, steps: int, threads: int) -> None:
    """Prints the MiB that full steps add to the peak of this process, after a small step that loads libraries."""
    import torch

    torch.set_num_threads(threads)
    step = make_step(package, size)
    step(latents(1, 4))
    batches = [latents(seed=seed) for seed in range(steps)]
    ctypes.CDLL(None).malloc_trim(0)  # else memory that the small step freed would be reused
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak (VmHWM), see proc(5)
    before = process_status("VmRSS")
    for z in batches:
        step(z)
        z.grad = None
    print(process_status("VmHWM") - before)


def memory(package: str, size: int, threads: int) -> float:
    """Peak MiB of one package, measured in a new process."""
    command = [sys.executable, __file__, "--measure", package, "--sizes", str(size), "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def times(size: int, rounds: int, packages: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each package in each round, after two rounds of warm-up. All get the same latents, in turns."""
    steps = {package: make_step(package, size) for package in packages}
    milliseconds: dict[str, list[float]] = {package: [] for package in packages}
    for number in range(rounds + 2):
        for package, step in steps.items():
            z = latents(seed=number)
            start = time.perf_counter()
            step(z)
            if number >= 2:
                milliseconds[package].append(1000 * (time.perf_counter() - start))
    return milliseconds


def main() -> None:
    """Prints a table with two lines for each codebook size."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--sizes", default="1024,8192", help="codebook sizes (default 1024,8192)")
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of each package (default 9)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    parser.add_argument("--measure", choices=PACKAGES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(size) for size in args.sizes.split(",")]
    if args.measure:
        measure_memory(args.measure, sizes[0], 5, args.threads)
        return
    packages = list(PACKAGES)
    if importlib.util.find_spec("vector_quantize_pytorch") is None:
        print("vector_quantize_pytorch is not installed here; it is not measured")
        packages.remove("library")
    peaks = {size: {package: memory(package, size, args.threads) for package in packages} for size in sizes}
    import torch  # not before: the peak of a child process starts from its parent's

    torch.set_num_threads(args.threads)
    print(f"{BATCH} x {FRAMES} vectors of {DIM}, {args.threads} threads, median of {args.rounds} (range)")
    for size in sizes:
        milliseconds = times(size, args.rounds, packages)
        medians = {package: statistics.median(values) for package, values in milliseconds.items()}
        for package, values in milliseconds.items():
            spread = f"({min(values):.1f}-{max(values):.1f})"
            print(f"K={size:<6} {package:8} {medians[package]:8.1f} ms {spread:16} {peaks[size][package]:8.1f} MiB")
        if len(packages) == 2:
            slower, larger = (values["library"] / values["ecgvae"] for values in (medians, peaks[size]))
            print(f"K={size:<6} library / ecgvae: {slower:.1f} x the time, {larger:.1f} x the memory")


if __name__ == "__main__":
    main()
