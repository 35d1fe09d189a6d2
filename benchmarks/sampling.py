"""Time to sample codes: ecgvae's autoregressive priors compared with ecgen's PixelCNN, for the same number of tokens.

All have their default sizes and random weights, and take turns in one process, so that a busy machine slows them alike.
A record of 10 s at 100 Hz has 625 tokens in both: one codebook every 16 ms in ecgen (512 codes), and eight codebooks
every 80 ms in ecgvae (1,024 codes each), whose whole frames are 79 x 8 = 632 tokens. "no cache" is ecgvae's prior when
the trunk reads all frames again for each frame, and the depth decoder all codes of the frame again for each code.

Wall time says little on a busy machine: the time of the processor, summed over threads, is printed too. On a machine
with fewer free cores than threads, OMP_WAIT_POLICY=passive in the environment keeps threads from waiting in a loop.

    pip install ecgen==1.1.0
    python benchmarks/sampling.py --batches 1,16
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from itertools import islice

import torch

from ecgvae.codebooks import CodebookSpec
from ecgvae.priors import SamplingSettings, build_prior, parse_prior_settings
from ecgvae.priors.sampling import draw

CODEBOOKS = (CodebookSpec(hop=8, size=1024),) * 8
KINDS = ("autoregressive", "pixelcnn")
Times = dict[str, list[tuple[float, float]]]        # wall and processor seconds of every round


def ecgvae_sampler(kind: str, tokens: int, device: str, has_cache: bool = True) -> Callable[[int], object]:
    """A function that samples so many records of at least `tokens` codes."""
    torch.manual_seed(0)
    prior = build_prior(parse_prior_settings({"kind": kind}), CODEBOOKS).eval().to(device)
    frames = -(-tokens // len(CODEBOOKS))
    if has_cache:
        return lambda count: prior.sample(count, frames)
    return lambda count: sample_without_cache(prior, count, frames)


@torch.inference_mode()
def sample_without_cache(prior, count: int, frames: int) -> torch.Tensor:
    """Samples of an autoregressive prior from the whole sequence so far."""
    device = prior.device
    codes = torch.zeros(count, frames, len(CODEBOOKS), dtype=torch.long, device=device)
    for frame in range(frames):
        trunk = prior.trunk(prior.trunk_inputs(codes[:, :frame], None))[:, -1]
        for slot in range(len(CODEBOOKS)):
            vectors = prior.embedding(codes[:, frame].unsqueeze(1))[:, 0]
            logits = next(islice(prior.depth(trunk, vectors, prior.embedding), slot, None))
            uniform = torch.rand(count, dtype=torch.float64).to(device)
            codes[:, frame, slot] = draw(logits, uniform, SamplingSettings())
    return codes


def ecgen_sampler(tokens: int, device: str) -> Callable[[int], object]:
    """A function that samples so many records of `tokens` codes from ecgen's PixelCNN."""
    from ecgen.families.vqvae.pixelcnn_prior import PixelCNNPrior

    prior = PixelCNNPrior().eval().to(device)
    return lambda count: prior.sample(count, tokens, device=device)


def measure(samplers: dict[str, Callable[[int], object]], count: int, rounds: int, device: str) -> Times:
    """The times of each sampler in each round, after a short warm-up."""
    times: Times = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, sample in samplers.items():
            start = time.perf_counter(), time.process_time()
            sample(count)
            if device != "cpu":
                torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return times


def print_times(times: Times, count: int, tokens: int, device: str, rounds: int) -> None:
    """A line for each sampler: median wall and processor time, and how many times those of ecgvae they are."""
    print(f"{count} x {tokens} tokens on {device}, {torch.get_num_threads()} threads, median of {rounds} (range)")
    medians = {name: [statistics.median(values) for values in zip(*rows, strict=True)] for name, rows in times.items()}
    for name, (wall, processor) in medians.items():
        walls = [wall for wall, _ in times[name]]
        spread = f"({min(walls):.2f}-{max(walls):.2f})"
        ratios = "" if name in KINDS else "".join(f"   {wall / medians[kind][0]:.1f} x {kind} "
                                                  f"(processor {processor / medians[kind][1]:.1f} x)" for kind in KINDS)
        print(f"{name:24} {wall:7.2f} s {spread:15} processor {processor:7.2f} s{ratios}")


def make_samplers(tokens: int, device: str) -> dict[str, Callable[[int], object]]:
    """All samplers; without ecgen's if it is not installed."""
    samplers = {kind: ecgvae_sampler(kind, tokens, device) for kind in KINDS}
    samplers["autoregressive, no cache"] = ecgvae_sampler("autoregressive", tokens, device, has_cache=False)
    if importlib.util.find_spec("ecgen"):
        samplers["ecgen PixelCNN"] = ecgen_sampler(tokens, device)
    return samplers


def main() -> None:
    """Prints a table for each device and number of records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,16", help="numbers of records at a time (default 1,16)")
    parser.add_argument("--tokens", type=int, default=625, help="tokens of a record (default 625, 10 s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="torch threads (default 2)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not importlib.util.find_spec("ecgen"):
        print("ecgen is not installed here; it is not measured")
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        measure(make_samplers(2 * len(CODEBOOKS), device), 1, 1, device)       # warm-up
        samplers = make_samplers(args.tokens, device)
        for count in map(int, args.batches.split(",")):
            print_times(measure(samplers, count, args.rounds, device), count, args.tokens, device, args.rounds)


if __name__ == "__main__":
    main()
