"""Records a second of ecgvae's reader and of wfdb.rdrecord, by turns in one process."""

import argparse
import time
from pathlib import Path

import numpy as np
import wfdb

from ecgvae.signal import find_records, read_record

ROUNDS = 5


def seconds(read, paths: list[str]) -> float:
    start = time.perf_counter()
    for path in paths:
        read(path)
    return time.perf_counter() - start


def main() -> None:
    """Prints both and their ratio, after a first round that checks that both read the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of WFDB records")
    parser.add_argument("--records", type=int, default=200, help="of them, read in a round (default 200)")
    args = parser.parse_args()
    paths = [str(path) for path in find_records(args.folder)[:args.records]]
    for path in paths:
        expected = wfdb.rdrecord(path).p_signal.T.astype(np.float32)
        if not np.array_equal(read_record(path).signal, expected, equal_nan=True):
            raise ValueError(f"{path} is read differently by wfdb")
    times = np.array([[seconds(read_record, paths), seconds(wfdb.rdrecord, paths)] for _ in range(ROUNDS)])
    ours, theirs = len(paths) / np.median(times, axis=0)
    print(f"{len(paths)} records, median of {ROUNDS} rounds")
    print(f"ecgvae.read_record {ours:8.0f} records/s {1e3 / ours:7.3f} ms")
    print(f"wfdb.rdrecord      {theirs:8.0f} records/s {1e3 / theirs:7.3f} ms")
    print(f"ratio              {ours / theirs:8.1f}")


if __name__ == "__main__":
    main()
