"""One page on generated ECG beside real ECG."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.plotting.files import check_destination, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ecgvae.evaluation.generation.material import Material
    from ecgvae.evaluation.generation.memorisation import Memorisation
    from ecgvae.evaluation.generation.physiology import Physiology

INTERVALS = {"heart_rate": "heart rate in 1/min", "pr": "PR in ms", "qrs": "QRS in ms", "qt": "QT in ms"}
SPECTRUM_LEADS = ("I", "II", "V2", "V5")
MAX_HZ = 45.0
MAX_POINTS = 1000  # of a set in the scatter plot
COLOURS = ("black", "C3", "C0", "C2", "C1", "C4")
SCORES = ("precision", "recall", "density", "coverage", "clipped_density", "clipped_coverage")


def plot_report(material: "Material", report: Mapping, path: str | Path, overwrite: bool = False) -> Path:
    """Draws a report on generated ECGs on one page, as far as it was measured; see `plot_generation`.

    Args:
        material: What was measured.
        report: The report on it.
        path: The figure: .png, .pdf or .svg.
        overwrite: Whether to replace a figure that exists.
    """
    from ecgvae.evaluation.generation.material import RANDOM
    from ecgvae.evaluation.generation.memorisation import Memorisation
    from ecgvae.evaluation.generation.report import ROW_NAMES

    names = {row: ROW_NAMES[row] for row in ("reference", *material.rows)}
    measured, found = material.measurements.physiology, material.measurements.nearest
    distances = report["sections"]["distances"][RANDOM]
    return plot_generation(
        {name: measured[row] for row, name in names.items()} if measured else {}, path, overwrite,
        Memorisation(found["samples"], found["reference"]) if found else None,
        {names[row]: material.projected(RANDOM, row)[:, :2] for row in ("reference", "samples")},
        {names[row]: {score.replace("_", " "): values[score]["value"] for score in SCORES}
         for row, values in distances.items()})


def plot_generation(
    sets: Mapping[str, "Physiology"],
    path: str | Path,
    overwrite: bool = False,
    memorisation: "Memorisation | None" = None,
    features: Mapping[str, np.ndarray] | None = None,
    scores: Mapping[str, Mapping[str, float]] | None = None,
) -> Path:
    """Draws distributions, spectra and correlations of sets of records, and what else is given, on one page.

    Args:
        sets: Measurements by the name of the set; the first is the real one, the second the generated one. Empty for
            a page without them.
        path: The figure: .png, .pdf or .svg.
        overwrite: Whether to replace a figure that exists.
        memorisation: Distances to the nearest training records.
        features: Two features, such as the first principal components, of some of the sets: (n, 2).
        scores: Numbers from 0 to 1 by the name of the set and of the score, such as precision and recall.

    Raises:
        ValueError: There is one set or nothing to draw, or the sets have different leads or rates.
        FileExistsError: The figure exists and `overwrite` is false.
    """
    from matplotlib.figure import Figure

    path = check_destination(path, overwrite)
    last_row = memorisation is not None or bool(features) or bool(scores)
    if len(sets) == 1 or not (sets or last_row):
        raise ValueError(f"measurements of {len(sets)} sets; wanted at least two, the real one first")
    if len({(of_set.waveforms.leads, of_set.waveforms.rate) for of_set in sets.values()}) > 1:
        raise ValueError("sets of different leads or rates; wanted the same")
    n_rows = (3 if sets else 0) + last_row
    figure = Figure(figsize=(15, 3.3 * n_rows), layout="constrained")
    grid = figure.add_gridspec(n_rows, 4)
    colours = dict(zip(sets or scores or {}, cycle(COLOURS if sets else COLOURS[1:]), strict=False))
    if sets:
        rows = [[figure.add_subplot(grid[row, column]) for column in range(4)] for row in range(3)]
        _draw_intervals(rows[0], sets, colours)
        _draw_spectra(rows[1], sets, colours)
        _draw_correlations(figure, rows[2][:3], sets)
        _draw_beats(rows[2][3], sets, colours)
    if memorisation is not None:
        _draw_nearest(figure.add_subplot(grid[-1, 0]), memorisation)
    if features:
        _draw_features(figure.add_subplot(grid[-1, 1]), features, colours)
    if scores:
        _draw_scores(figure.add_subplot(grid[-1, 2:]), scores, colours)
    return save_figure(figure, path)


def _style(axes: "Axes", title: str, x: str = "", y: str = "") -> None:
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set_xlabel(x, fontsize=8, parse_math=False)
    axes.set_ylabel(y, fontsize=8, parse_math=False)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _draw_cumulative(axes: "Axes", values: np.ndarray, label: str, colour: str) -> None:
    """Draws the share of the values up to each value. nan do not count."""
    values = np.sort(values[np.isfinite(values)])
    if values.size:
        axes.step(values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour, lw=1.2, label=label)


def _draw_intervals(row: Sequence["Axes"], sets: Mapping[str, "Physiology"], colours: Mapping[str, str]) -> None:
    from ecgvae.evaluation.generation.distributions import compare_distributions

    for axes, (name, title) in zip(row, INTERVALS.items(), strict=True):
        real = next(iter(sets.values())).intervals.values[name]
        for label, of_set in sets.items():
            values = of_set.intervals.values[name]
            distance = compare_distributions(real, values).ks
            _draw_cumulative(axes, values, label if values is real else f"{label}, KS {distance:.2f}", colours[label])
        finite = real[np.isfinite(real)]
        if finite.size:
            low, high = np.percentile(finite, [0.5, 99.5])
            axes.set_xlim(low - 0.2 * (high - low) - 1, high + 0.2 * (high - low) + 1)
        _style(axes, title, title.split(" in ")[1], "share of records")


def _draw_spectra(row: Sequence["Axes"], sets: Mapping[str, "Physiology"], colours: Mapping[str, str]) -> None:
    """Draws power spectra of up to four leads, from 1 to 45 Hz."""
    waveforms = next(iter(sets.values())).waveforms
    leads = [lead for lead in SPECTRUM_LEADS if lead in waveforms.leads] or list(waveforms.leads[:len(row)])
    for axes, lead in zip(row, leads, strict=False):
        for label, of_set in sets.items():
            power = of_set.waveforms.power[of_set.waveforms.leads.index(lead)]
            frequency = np.arange(len(power)) * waveforms.rate / round(waveforms.rate)
            shown = (frequency >= 1) & (frequency <= MAX_HZ)
            axes.plot(frequency[shown], 10 * np.log10(power[shown].clip(min=1e-12)), color=colours[label], lw=1.2,
                      label=label)
        _style(axes, f"power spectrum of {lead}", "Hz", "dB re 1 mV²/Hz")
    for axes in row[len(leads):]:
        axes.set_axis_off()


def _draw_correlations(figure: "Figure", row: Sequence["Axes"], sets: Mapping[str, "Physiology"]) -> None:
    """Draws the correlations between leads of the first two sets, and their difference."""
    (real_name, real), (name, generated) = list(sets.items())[:2]
    first, second = real.waveforms.correlations, generated.waveforms.correlations
    shown = ((real_name, first, 1.0), (name, second, 1.0), (f"{name} - {real_name}", second - first, 0.3))
    for axes, (title, matrix, limit) in zip(row, shown, strict=True):
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
        leads = real.waveforms.leads
        axes.set_xticks(range(len(leads)), leads, rotation=90)
        axes.set_yticks(range(len(leads)), leads)
        _style(axes, f"correlation between leads, {title}")
        axes.grid(False)
        figure.colorbar(image, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)


def _draw_beats(axes: "Axes", sets: Mapping[str, "Physiology"], colours: Mapping[str, str]) -> None:
    for label, of_set in sets.items():
        values = 100 * of_set.beats.variance
        _draw_cumulative(axes, values, f"{label}, median {np.nanmedian(values):.1f} %" if np.isfinite(values).any()
                         else label, colours[label])
    axes.set_xscale("log")
    _style(axes, "variance of beats in a regular record", "% of their energy", "share of records")


def _draw_nearest(axes: "Axes", memorisation: "Memorisation") -> None:
    nearer = memorisation.summary()["nearer"]
    _draw_cumulative(axes, memorisation.held_out.distance, "held-out real", COLOURS[0])
    _draw_cumulative(axes, memorisation.generated.distance, f"generated, P(nearer) {nearer:.2f}", COLOURS[1])
    axes.set_xlim(0, 1)
    _style(axes, "distance to the nearest training record", "0 is a copy", "share of records")


def _draw_features(axes: "Axes", features: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> None:
    """Draws features (n, 2) of the sets as points, at most `MAX_POINTS` of each."""
    for label, points in features.items():
        points = points[:: max(1, -(-len(points) // MAX_POINTS))]
        axes.scatter(points[:, 0], points[:, 1], s=5, alpha=0.4, lw=0, color=colours.get(label, "grey"), label=label)
    _style(axes, "features", "first component", "second component")


def _draw_scores(axes: "Axes", scores: Mapping[str, Mapping[str, float]], colours: Mapping[str, str]) -> None:
    """Draws a group of bars for each score, with a bar for each set that has it."""
    names = list(dict.fromkeys(name for of_set in scores.values() for name in of_set))
    width = 0.8 / len(scores)
    for index, (label, of_set) in enumerate(scores.items()):
        at = np.arange(len(names)) + width * (index - (len(scores) - 1) / 2)
        values = [of_set.get(name, float("nan")) for name in names]
        bars = axes.bar(at, values, width, label=label, color=colours.get(label, "grey"))
        axes.bar_label(bars, [f"{value:.2f}" if np.isfinite(value) else "" for value in values], fontsize=7)
    axes.set_xticks(range(len(names)), names)
    _style(axes, "agreement with real records")
