"""Training logs and noise schedules as curves."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.plotting.files import check_destination, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_curves(csv_path: str | Path, path: str | Path, overwrite: bool = False) -> Path:
    """Draws each numeric column of a training log against the step.

    Args:
        csv_path: A CSV file with a column `step`.
        path: The figure: .png, .pdf or .svg.
        overwrite: Whether to replace a figure that exists.

    Raises:
        ValueError: The file has no column `step`, or no other column of numbers.
    """
    import pandas as pd
    from matplotlib.figure import Figure

    path = check_destination(path, overwrite)
    table = pd.read_csv(csv_path)
    log = table.select_dtypes("number").dropna(axis="columns", how="all")
    columns = [column for column in log if column != "step"]
    if "step" not in log or not columns:
        raise ValueError(f"{csv_path} has columns {', '.join(map(str, table))}; wanted step and other numbers")
    n_columns = min(3, len(columns))
    n_rows = -(-len(columns) // n_columns)
    figure = Figure(figsize=(3.6 * n_columns, 2.4 * n_rows), layout="constrained")
    for index, column in enumerate(columns):
        points = log[["step", column]].dropna()
        axes = figure.add_subplot(n_rows, n_columns, index + 1)
        _draw_curve(axes, str(column), points["step"].to_numpy(), points[column].to_numpy())
    return save_figure(figure, path)


def _draw_curve(axes: "Axes", name: str, steps: np.ndarray, values: np.ndarray) -> None:
    axes.plot(steps, values, lw=0.9)
    axes.set_title(name, fontsize=9, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if min(values) > 0 and max(values) > 30 * min(values):
        axes.set_yscale("log")


def plot_noise(path: str | Path, steps: int = 1000, overwrite: bool = False) -> Path:
    """Draws the signal-to-noise ratio of x_t (w = 0) and of x_t + x_0 (w = 1) against t, for every schedule.

    Args:
        path: The figure: .png, .pdf or .svg.
        steps: Number of diffusion steps T.
        overwrite: Whether to replace a figure that exists.
    """
    from matplotlib.figure import Figure

    from ecgvae.noise import SCHEDULES, alpha_bars, snr

    path = check_destination(path, overwrite)
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
    return save_figure(figure, path)
