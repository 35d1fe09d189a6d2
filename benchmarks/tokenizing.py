"""Records per second from WFDB files: ecgvae to a Parquet file of codes, ecgen's VQ-VAE to codes.

Both sides read the same PTB-XL records at 100 Hz in one process with one number of threads, in
turns, so that a busy machine slows both alike; the median turn counts. ecgen reads with its own
PTBXL data set (wfdb, z-score, all condition fields off) and runs its default VQ-VAE with random
weights. Importing and loading are timed on neither.

    pip install ecgen==1.1.0
    python benchmarks/tokenizing.py PTBXL_FOLDER --records 512
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

MODEL = "ptbxl-vqvae-conv"
OURS = "ecgvae to Parquet"


def ours(folder: Path, names: list[str], model: str, codebooks: int | None, batch: int) -> Callable[[], int]:
    """From WFDB files to a Parquet file, by the function behind `ecgvae tokenize`."""
    from ecgvae.batch import tokenize_files
    from ecgvae.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model, device="cpu")
    records = [folder / name for name in names]

    def tokenize() -> int:
        with tempfile.TemporaryDirectory() as out:
            path = Path(out) / "tokens.parquet"
            return tokenize_files(records, path, tokenizer, codebooks=codebooks, batch_size=batch).records

    return tokenize


def theirs(folder: Path, count: int, batch: int) -> tuple[list[str], Callable[[], int]]:
    """Names of the records that ecgen's data set lists first, and its way from their WFDB files to codes."""
    from ecgen.data.collate import ECGCollate
    from ecgen.data.datasets.ptbxl import PTBXL
    from ecgen.families.vqvae import VQVAELightning
    from torch.utils.data import DataLoader

    everything = {"train": range(1, 9), "val": [9], "test": range(1, 11)}
    dataset = PTBXL(
        str(folder), "test", folds=everything, sampling_rate=100, max_samples=count,
        labels=None, demographics=False, sex=False, report=False,
    )  # fmt: skip
    model = VQVAELightning().eval()
    loader = DataLoader(dataset, batch_size=batch, collate_fn=ECGCollate(dataset.lead_names, dataset.fs))

    def encode() -> int:
        return sum(len(model.encode_to_indices(model.get_signal(part))) for part in loader)

    return dataset.records["filename_lr"].tolist(), encode


def listed(folder: Path, count: int) -> list[str]:
    """The first records of PTB-XL's own table."""
    import pandas as pd

    return pd.read_csv(folder / "ptbxl_database.csv", nrows=count)["filename_lr"].tolist()


def in_turns(sides: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Records per second of each side in each round; a first round warms up and is left out."""
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            records = side()
            if number:
                speeds[name].append(records / (time.perf_counter() - start))
    return speeds


def importable(package: str) -> bool:
    """Whether a package is there, in one line on the terminal if not."""
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"{package} is not installed here; its side is left out")
    return found


def main() -> None:
    """Time both sides, or the one that is installed, and print speeds and ratios."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", type=Path, help="PTB-XL's own folder (its 100 Hz records)")
    parser.add_argument("--records", type=int, default=256, help="records a round (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds of each side (default 3)")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64; ecgen also with 1")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of both sides (default 1)")
    parser.add_argument("--model", default=MODEL, help=f"our tokenizer, a name or a folder (default {MODEL})")
    parser.add_argument("--codebooks", type=int, help="codebooks of our tokenizer (default all)")
    parser.add_argument("--theirs-only", action="store_true", help="time ecgen alone")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sides: dict[str, Callable[[], int]] = {}
    names = listed(args.folder, args.records)
    if importable("ecgen"):
        for batch in dict.fromkeys((1, args.batch_size)):
            names, sides[f"ecgen, batches of {batch}"] = theirs(args.folder, args.records, batch)
    if not args.theirs_only and importable("ecgvae"):
        sides[OURS] = ours(args.folder, names, args.model, args.codebooks, args.batch_size)
    speeds = in_turns(sides, args.rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"{len(names)} records of 12 leads, {args.threads} threads, median of {args.rounds} (range)")
    for name, values in speeds.items():
        spread = f"{min(values):.1f}-{max(values):.1f}"
        compared = OURS in medians and name != OURS
        ratio = f"   ecgvae is {medians[OURS] / medians[name]:.1f} x" if compared else ""
        print(f"{name:22} {medians[name]:8.1f} records/s  ({spread}){ratio}")


if __name__ == "__main__":
    main()
