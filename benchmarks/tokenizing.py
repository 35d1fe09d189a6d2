"""Speed of tokenizing WFDB files, in records per second: ecgvae compared with ecgen's VQ-VAE.

Both read the same PTB-XL records at 100 Hz, in one process and with the same number of threads. They take turns, so
that a busy machine slows both alike, and the median is printed. ecgvae writes a Parquet file of codes. ecgen reads
with its PTBXL data set (wfdb, z-score, all condition fields off) and computes codes with its default VQ-VAE with
random weights. The time for importing and loading is not included for either.

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
ECGVAE = "ecgvae to Parquet"


def ecgvae_tokenizer(
    folder: Path, names: list[str], model: str, codebooks: int | None, batch: int
) -> Callable[[], int]:
    """A function that writes WFDB files as a Parquet file of codes, as `ecgvae tokenize` does."""
    from ecgvae.batch import tokenize_files
    from ecgvae.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(model, device="cpu")
    records = [folder / name for name in names]

    def tokenize() -> int:
        with tempfile.TemporaryDirectory() as out:
            path = Path(out) / "tokens.parquet"
            summary = tokenize_files(records, path, tokenizer, codebooks=codebooks, batch_size=batch)
            return summary.records if summary else 0

    return tokenize


def ecgen_tokenizer(folder: Path, count: int, batch: int) -> tuple[list[str], Callable[[], int]]:
    """The names of the first records of ecgen's data set, and a function that computes their codes."""
    from ecgen.data.collate import ECGCollate
    from ecgen.data.datasets.ptbxl import PTBXL
    from ecgen.families.vqvae import VQVAELightning
    from torch.utils.data import DataLoader

    folds = {"train": range(1, 9), "val": [9], "test": range(1, 11)}
    dataset = PTBXL(
        str(folder), "test", folds=folds, sampling_rate=100, max_samples=count,
        labels=None, demographics=False, sex=False, report=False,
    )  # fmt: skip
    model = VQVAELightning().eval()
    loader = DataLoader(dataset, batch_size=batch, collate_fn=ECGCollate(dataset.lead_names, dataset.fs))

    def encode() -> int:
        return sum(len(model.encode_to_indices(model.get_signal(part))) for part in loader)

    return dataset.records["filename_lr"].tolist(), encode


def first_records(folder: Path, count: int) -> list[str]:
    """The names of the first records of PTB-XL's table."""
    import pandas as pd

    return pd.read_csv(folder / "ptbxl_database.csv", nrows=count)["filename_lr"].tolist()


def measure_speeds(implementations: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Records per second of each implementation in each round, after one round of warm-up."""
    speeds: dict[str, list[float]] = {name: [] for name in implementations}
    for number in range(rounds + 1):
        for name, implementation in implementations.items():
            start = time.perf_counter()
            records = implementation()
            if number:
                speeds[name].append(records / (time.perf_counter() - start))
    return speeds


def is_installed(package: str) -> bool:
    """Whether a package is installed; prints a line if it is not."""
    installed = importlib.util.find_spec(package) is not None
    if not installed:
        print(f"{package} is not installed here; it is not measured")
    return installed


def main() -> None:
    """Measures both, or the one that is installed, and prints speeds and ratios."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("folder", type=Path, help="folder of PTB-XL, with its 100 Hz records")
    parser.add_argument("--records", type=int, default=256, help="records in a round (default 256)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default 3)")
    parser.add_argument("--batch-size", type=int, default=64, help="default 64; ecgen also with 1")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of both implementations (default 1)")
    parser.add_argument("--model", default=MODEL, help=f"ecgvae's tokenizer, a name or a folder (default {MODEL})")
    parser.add_argument("--codebooks", type=int, help="number of codebooks of ecgvae's tokenizer (default all)")
    parser.add_argument("--ecgen-only", "--theirs-only", dest="ecgen_only", action="store_true",
                        help="measure ecgen only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    implementations: dict[str, Callable[[], int]] = {}
    names = first_records(args.folder, args.records)
    if is_installed("ecgen"):
        for batch in dict.fromkeys((1, args.batch_size)):
            names, implementations[f"ecgen, batches of {batch}"] = ecgen_tokenizer(args.folder, args.records, batch)
    if not args.ecgen_only and is_installed("ecgvae"):
        implementations[ECGVAE] = ecgvae_tokenizer(args.folder, names, args.model, args.codebooks, args.batch_size)
    speeds = measure_speeds(implementations, args.rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    print(f"{len(names)} records of 12 leads, {args.threads} threads, median of {args.rounds} (range)")
    for name, values in speeds.items():
        spread = f"{min(values):.1f}-{max(values):.1f}"
        compared = ECGVAE in medians and name != ECGVAE
        ratio = f"   ecgvae is {medians[ECGVAE] / medians[name]:.1f} x" if compared else ""
        print(f"{name:22} {medians[name]:8.1f} records/s  ({spread}){ratio}")


if __name__ == "__main__":
    main()
