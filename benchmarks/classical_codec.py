"""A classical ECG codec as a baseline: KLT of the leads, CDF 9/7 wavelet, uniform quantizer, arithmetic coder.

Transform and code lengths are fitted on folds 1-8 and measured on another fold. All coefficients of all records have
the same quantization step. The rate is the cross-entropy of the measured fold under the fitted histograms, that of an
ideal static coder.

    python benchmarks/classical_codec.py STORE_OR_PTBXL_FOLDER --fold 10 --at 250,500,1000
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
CODED = (0, 1, 6, 7, 8, 9, 10, 11)
# factors of Daubechies and Sweldens 1998, section 7.7
LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
GAIN = 1.149604398860241  # makes the transform nearly orthonormal, so that one step suits every level
STEPS = "20,28,40,55,75,100,140,190,260,360,500,700,1000,1400"
ESCAPE_BITS = 20  # for a value that is not in the histogram, in addition to the escape symbol


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Signals (records, 12, t) in µV, their folds and their rate, from a store or the folder of PTB-XL."""
    if (folder / "manifest.json").exists():
        from ecgvae.data.store import Store

        store = Store(folder)
        rows = [list(store.leads).index(lead) for lead in LEADS]
        signals = np.stack([store.signal(i)[rows] for i in range(len(store))])
        return signals * 1000, store.records["fold"].to_numpy(), store.rate
    import pandas as pd
    import wfdb

    table = pd.read_csv(folder / "ptbxl_database.csv")
    records = [wfdb.rdrecord(str(folder / name)) for name in table["filename_lr"]]
    signals = np.stack([record.p_signal.T.astype(np.float32) for record in records])
    return signals * 1000, table["strat_fold"].to_numpy(), records[0].fs


def lift(target: np.ndarray, source: np.ndarray, weight: float, ahead: bool) -> None:
    """Adds to each target the weighted sum of its two neighbours among the sources, mirrored at both ends."""
    count = target.shape[-1]
    last = source.shape[-1] - 1
    left = np.arange(count) - (0 if ahead else 1)
    left, right = np.where(left < 0, 0, left), np.minimum(left + 1, last)
    target += weight * (source[..., left] + source[..., right])


def analyse(x: np.ndarray, levels: int) -> list[np.ndarray]:
    """CDF 9/7 subbands of the last axis by lifting: details from the finest, then the approximation."""
    bands = []
    for _ in range(levels):
        low, high = x[..., ::2].copy(), x[..., 1::2].copy()
        for step, weight in enumerate(LIFTING):
            target, source = (low, high) if step % 2 else (high, low)
            lift(target, source, weight, ahead=step % 2 == 0)
        bands.append(high / GAIN)
        x = low * GAIN
    return [*bands, x]


def synthesise(bands: list[np.ndarray]) -> np.ndarray:
    """The inverse of `analyse`."""
    *details, x = bands
    for detail in reversed(details):
        low, high = x / GAIN, detail * GAIN
        for step, weight in reversed(list(enumerate(LIFTING))):
            target, source = (low, high) if step % 2 else (high, low)
            lift(target, source, -weight, ahead=step % 2 == 0)
        x = np.empty((*low.shape[:-1], low.shape[-1] + high.shape[-1]), low.dtype)
        x[..., ::2], x[..., 1::2] = low, high
    return x


def cross_entropy(train: np.ndarray, test: np.ndarray) -> float:
    """Bits of `test` under the add-one smoothed histogram of `train`; values that are not in `train` are escaped."""
    values, counts = np.unique(train, return_counts=True)
    lengths = -np.log2(np.append(counts + 1, 1) / (counts.sum() + len(counts) + 1))
    lengths[-1] += ESCAPE_BITS
    index = np.minimum(np.searchsorted(values, test), len(values) - 1)
    return float(lengths[np.where(values[index] == test, index, len(values))].sum())


@dataclass(frozen=True)
class Point:
    """A quantization step in µV, the rate in bit/s over all leads, and the mean PRDN (%) and RMSE (µV)."""

    step: float
    rate: float
    prdn: float
    rmse: float


def derive(coded: np.ndarray) -> np.ndarray:
    """All 12 leads from I, II and V1-V6."""
    one, two = coded[:, :1], coded[:, 1:2]
    derived = (two - one, -(one + two) / 2, one - two / 2, two - one / 2)
    return np.concatenate([coded[:, :2], *derived, coded[:, 2:]], 1)


def curve(
    signals: np.ndarray, train: np.ndarray, test: np.ndarray, rate: float, steps: list[float], levels: int
) -> list[Point]:
    """Rate and distortion of the test records at each step; everything else is fitted on the train records."""
    fitted = signals[train][:, CODED]
    flat = fitted.swapaxes(0, 1).reshape(len(CODED), -1)
    klt = np.linalg.eigh(np.cov(flat))[1].T.astype(np.float32)[::-1]
    train_bands = analyse(klt @ fitted, levels)
    test_bands = analyse(klt @ signals[test][:, CODED], levels)
    original = signals[test]
    centred = original - original.mean(-1, keepdims=True)
    flat_lead = np.ptp(original, -1) == 0
    norm = np.where(flat_lead, np.nan, np.linalg.norm(centred, axis=-1))
    seconds = original.shape[0] * original.shape[-1] / rate
    points = []
    for step in steps:
        quantized = [np.rint(band / step) for band in test_bands]
        bits = sum(
            cross_entropy(np.rint(a[:, lead] / step), b[:, lead])
            for a, b in zip(train_bands, quantized, strict=True)
            for lead in range(len(CODED))
        )
        decoded = derive(klt.T @ synthesise([band * np.float32(step) for band in quantized]))
        error = np.linalg.norm(original - decoded, axis=-1)
        rmse = float(error.mean() / np.sqrt(original.shape[-1]))
        points.append(Point(step, bits / seconds, float(np.nanmean(100 * error / norm)), rmse))
    return points


def interpolate(points: list[Point], rates: list[float]) -> list[tuple[float, float, float]]:
    """(rate, PRDN, RMSE) at the given rates, by linear interpolation of logarithms; nan outside the measured range."""
    ordered = sorted(points, key=lambda point: point.rate)
    x = np.log([point.rate for point in ordered])

    def interpolated(values: list[float]) -> np.ndarray:
        return np.exp(np.interp(np.log(rates), x, np.log(values), left=np.nan, right=np.nan))

    prdn, rmse = interpolated([point.prdn for point in ordered]), interpolated([point.rmse for point in ordered])
    return list(zip(rates, prdn.tolist(), rmse.tolist(), strict=True))


def main() -> None:
    """Prints the rates and errors for one fold, and those interpolated at the rates of `--at`."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("data", type=Path, help="a store with folds, or the folder of PTB-XL (100 Hz)")
    parser.add_argument("--fold", type=int, choices=(9, 10), default=9, help="fold to measure (default 9)")
    parser.add_argument("--levels", type=int, default=6, help="wavelet levels (default 6)")
    parser.add_argument("--steps", default=STEPS, help=f"steps in µV (default {STEPS})")
    parser.add_argument("--at", help="bit rates at which to interpolate, such as 250,500,1000")
    args = parser.parse_args()
    signals, folds, rate = load(args.data)
    train, test = folds <= 8, folds == args.fold
    steps = [float(step) for step in args.steps.split(",")]
    points = curve(signals, train, test, rate, steps, args.levels)
    print(f"fold {args.fold}: {test.sum()} records, fitted on {train.sum()}; {args.levels} levels")
    print(f"{'step µV':>8} {'bit/s':>8} {'PRDN %':>8} {'RMSE µV':>8}")
    for point in points:
        print(f"{point.step:8g} {point.rate:8.1f} {point.prdn:8.2f} {point.rmse:8.2f}")
    if args.at:
        print(f"\n{'bit/s':>8} {'PRDN %':>8} {'RMSE µV':>8}   interpolated in the logarithms")
        for at, prdn, rmse in interpolate(points, [float(rate) for rate in args.at.split(",")]):
            print(f"{at:8g} {prdn:8.2f} {rmse:8.2f}")


if __name__ == "__main__":
    main()
