"""Speed of ecgvae's reader and of wfdb.rdrecord in records per second. The two take turns in one process."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import wfdb

from ecgvae.signal import find_records, read_record

ROUNDS = 5


def seconds(read: Callable[[str], object], paths: list[str]) -> float:
    """The time in which a function reads all records."""
    start = time.perf_counter()
    for path in paths:
        read(path)
    return time.perf_counter() - start


def main() -> None:
    """Prints both speeds and their ratio, after a check that both read the same signals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of WFDB records")
    parser.add_argument("--records", type=int, default=200, help="records to read in a round (default 200)")
    args = parser.parse_args()
    paths = [str(path) for path in find_records(args.folder)[:args.records]]
    for path in paths:
        expected = wfdb.rdrecord(path).p_signal.T.astype(np.float32)
        if not np.array_equal(read_record(path).signal, expected, equal_nan=True):
            raise ValueError(f"{path} is read differently by wfdb")
    times = np.array([[seconds(read_record, paths), seconds(wfdb.rdrecord, paths)] for _ in range(ROUNDS)])
    ecgvae_speed, wfdb_speed = len(paths) / np.median(times, axis=0)
    print(f"{len(paths)} records, median of {ROUNDS} rounds")
    print(f"ecgvae.read_record {ecgvae_speed:8.0f} records/s {1e3 / ecgvae_speed:7.3f} ms")
    print(f"wfdb.rdrecord      {wfdb_speed:8.0f} records/s {1e3 / wfdb_speed:7.3f} ms")
    print(f"ratio              {ecgvae_speed / wfdb_speed:8.1f}")


if __name__ == "__main__":
    main()
