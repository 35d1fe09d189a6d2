"""Pictures: ECG on paper, its reconstruction over it, its tokens under it, and training curves."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.paper import HEADER, MARGIN, PULSE, ROW, SPEED, Segment, lay_out, sheet
from ecgvae.signal import Record, RecordFile, canonical

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
STRIP = 4.0  # mm, the height of a stream of codes
MOST_PIXELS = 4e7


def plot_record(
    record: Record | RecordFile,
    path: str | Path,
    overlay: Record | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw a record on ECG paper in black and its reconstruction in red, with the PRDN of what is drawn.

    Twelve leads of up to 11 s have the standard layout: three rows of four leads, and lead II below. Others
    have a row a lead and 10 s, and only their first 30 s are drawn. The path ends in .png, .pdf or .svg.
    """
    path = _destination(path, overwrite)
    return _save(sheet([lay_out(record, overlay, title)]), path)


def plot_comparison(
    pairs: Iterable[tuple[Record, Record]], path: str | Path, overwrite: bool = False
) -> Path:
    """Draw a panel as of `plot_record` for every (original, reconstruction), in two columns if over three."""
    path = _destination(path, overwrite)
    panels = [lay_out(original, reconstruction) for original, reconstruction in pairs]
    if not panels:
        raise ValueError("no records to compare; at least one pair is wanted")
    return _save(sheet(panels, columns=1 if len(panels) <= 3 else 2), path)


def plot_tokens(
    record: Record | RecordFile,
    codes: Sequence[np.ndarray],
    hops: Sequence[int],
    rate: float,
    path: str | Path,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw the first 10 s of up to three leads and under them each stream of codes, a colour a code.

    A code of stream i covers hops[i] samples at the model's rate in Hz.
    """
    path = _destination(path, overwrite)
    leads = [lead for lead in record.leads if canonical(lead) in ("II", "V2", "V5")] or list(record.leads[:3])
    stop = min(ROW, record.samples / record.rate)
    paper = lay_out(record, None, title, [[Segment(lead, 0, stop)] for lead in leads])
    figure = sheet([paper], footer=STRIP * len(codes) + 2)
    top = MARGIN + HEADER + paper.height + 1
    for index, (stream, hop) in enumerate(zip(codes, hops, strict=True)):
        _strip(figure.axes[0], index, np.asarray(stream), hop / rate, stop, top + index * STRIP)
    return _save(figure, path)


def plot_curves(csv_path: str | Path, path: str | Path, overwrite: bool = False) -> Path:
    """Draw every numeric column of a training log, a CSV with a column `step`, over the step."""
    import pandas as pd
    from matplotlib.figure import Figure

    path = _destination(path, overwrite)
    table = pd.read_csv(csv_path)
    log = table.select_dtypes("number").dropna(axis="columns", how="all")
    columns = [column for column in log if column != "step"]
    if "step" not in log or not columns:
        raise ValueError(f"{csv_path} has columns {', '.join(table)}; step and other numbers are wanted")
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(3.6 * across, 2.4 * down), layout="constrained")
    for index, column in enumerate(columns):
        points = log[["step", column]].dropna()
        _curve(figure.add_subplot(down, across, index + 1), column, points["step"], points[column])
    return _save(figure, path)


def plot_noise(path: str | Path, steps: int = 1000, overwrite: bool = False) -> Path:
    """Draw the signal-to-noise ratio of x_t (w = 0) and of x_t + x_0 (w = 1) over t, for every schedule."""
    from matplotlib.figure import Figure

    from ecgvae.noise import SCHEDULES, alpha_bars, snr

    path = _destination(path, overwrite)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="t", ylabel="signal-to-noise ratio in dB", xlim=(0, steps), ylim=(-40, 50))
    for colour, schedule in enumerate(SCHEDULES):
        alpha_bar = alpha_bars(schedule, steps)
        for w, style in ((1, "-"), (0, "--")):
            ratio = 10 * snr(alpha_bar, w).log10()
            axes.plot(range(1, steps + 1), ratio, style, color=f"C{colour}", lw=1.3, label=f"{schedule}, w = {w}")
    axes.axhline(0, color="black", lw=0.6)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=len(SCHEDULES))
    return _save(figure, path)


def _strip(axes: "Axes", index: int, codes: np.ndarray, period: float, stop: float, top: float) -> None:
    """Draw the codes of a stream, `period` seconds each, up to `stop`."""
    from matplotlib.colors import hsv_to_rgb

    starts = np.arange(len(codes)) * period
    starts = starts[starts < stop]
    turns = codes[: len(starts)] * 0.618034  # the golden ratio sets the hues of any run of numbers far apart
    hues = np.stack([turns % 1, np.full(len(turns), 0.6), 0.6 + 0.35 * (turns * 7 % 1)], axis=-1)
    left = MARGIN + PULSE
    bars = [(left + SPEED * start, SPEED * min(period, stop - start)) for start in starts]
    axes.broken_barh(bars, (top, STRIP - 0.6), facecolors=hsv_to_rgb(hues))
    axes.text(left - 1, top + STRIP / 2, f"stream {index + 1}", fontsize=7, ha="right", va="center")


def _curve(axes: "Axes", name: str, steps: Sequence[float], values: Sequence[float]) -> None:
    axes.plot(steps, values, lw=0.9)
    axes.set_title(name, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")


def _destination(path: str | Path, overwrite: bool) -> Path:
    """The path, if a figure may be written there."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix or 'no suffix'}; {', '.join(SUFFIXES)} are wanted")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite")
    return path


def _save(figure: "Figure", path: Path) -> Path:
    """Write under a temporary name beside the path, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    dpi = min(150.0, np.sqrt(MOST_PIXELS / np.prod(figure.get_size_inches())))
    try:
        figure.savefig(partial, dpi=dpi, format=path.suffix[1:].lower())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
