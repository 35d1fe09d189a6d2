"""ECG on paper: panels laid out and drawn in mm from the top left corner of a figure of true size."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgvae import metrics
from ecgvae.signal import LEADS_12, Record, RecordFile, canonical_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPEED = 25.0  # mm/s
GAINS = (10.0, 5.0, 2.5, 1.0, 0.5, 0.1)  # mm/mV: the first at which the signal stays within REACH
REACH = 40.0  # mm that a trace may rise above or fall below its baseline
MARGIN, HEADER, PULSE = 5.0, 7.0, 15.0  # mm: around a panel, its title line, its calibration pulse
ROW, SHOWN = 10.0, 30.0  # s in a row and in a figure, at most
INKS = (("original", "black", 0.75), ("reconstruction", "red", 0.55))  # name, colour, line width


@dataclass(frozen=True)
class Segment:
    """A lead from `start` to `stop` seconds, drawn `left` mm into its row."""

    lead: str
    start: float
    stop: float
    left: float = 0.0


@dataclass(frozen=True)
class Trace:
    """The leads of a record as drawn: mV around the original's medians."""

    rate: float
    leads: dict[str, np.ndarray]

    def cut(self, segment: Segment) -> tuple[np.ndarray, np.ndarray]:
        """Seconds into the segment and mV there; both empty if the lead is missing."""
        start, stop = (round(second * self.rate) for second in (segment.start, segment.stop))
        values = self.leads.get(segment.lead, np.zeros(0))[start:stop]
        return np.arange(len(values)) / self.rate, values


@dataclass(frozen=True)
class Panel:
    """A piece of paper: rows of segments, each row's baseline in mm below its top."""

    title: str
    traces: list[Trace]
    rows: list[list[Segment]]
    baselines: list[float]
    gain: float
    width: float
    height: float


def lay_out(
    record: Record | RecordFile,
    overlay: Record | None,
    title: str | None = None,
    rows: list[list[Segment]] | None = None,
) -> Panel:
    """Lay out the beginning of a record, in the standard rows unless others are given.

    The title tells what is left out, and the mean PRDN over the leads of what is drawn.
    """
    if not record.samples:
        raise ValueError(f"{record.name} has no samples; at least one is wanted")
    seconds = record.samples / record.rate
    record, overlay = _beginning(record), overlay and _beginning(overlay)
    rows = rows or _layout(record)
    shown = max(segment.stop for row in rows for segment in row)
    notes = [record.name if title is None else title]
    if shown < seconds:
        notes.append(f"first {shown:g} s of {seconds:.1f} s")
    if overlay is not None and np.isfinite(error := _mean_prdn(record, overlay)):
        notes.append(f"PRDN {error:.1f} %")
    traces = _traces(record, overlay)
    gain, baselines, height = _spacing(traces, rows)
    longest = max(segment.stop - segment.start + segment.left / SPEED for row in rows for segment in row)
    width = PULSE + 5 * np.ceil(SPEED * max(longest, ROW) / 5) + 5
    return Panel(" · ".join(notes), traces, rows, baselines, gain, width, height)


def _beginning(record: Record | RecordFile) -> Record:
    return record.read(0, round(SHOWN * record.rate))


def _layout(record: Record) -> list[list[Segment]]:
    """Rows of segments: the standard layout for a short 12-lead record, else a row a lead and 10 s."""
    seconds = record.duration
    names = {canonical_lead(lead): lead for lead in record.leads}
    if set(names) != set(LEADS_12) or seconds > ROW + 1:
        pieces = [(start, min(start + ROW, seconds)) for start in np.arange(0, seconds, ROW)]
        return [[Segment(lead, start, stop)] for start, stop in pieces for lead in record.leads]
    cuts = np.linspace(0, seconds, 5)
    rows = [
        [
            Segment(names[lead], start, stop, SPEED * start)
            for lead, start, stop in zip(LEADS_12[row::3], cuts[:-1], cuts[1:], strict=True)
        ]
        for row in range(3)
    ]
    return [*rows, [Segment(names["II"], 0, seconds)]]


def _traces(record: Record, overlay: Record | None) -> list[Trace]:
    """The original and what is over it, lead by lead, both without the original's median."""
    medians = {
        lead: np.median(values[np.isfinite(values)]) if np.isfinite(values).any() else 0.0
        for lead, values in zip(record.leads, record.signal, strict=True)
    }
    traces = []
    for drawn in (record,) if overlay is None else (record, overlay):
        names = {canonical_lead(lead) for lead in drawn.leads}
        leads = [lead for lead in record.leads if canonical_lead(lead) in names]
        signals = {lead: drawn.select([lead]).signal[0] - medians[lead] for lead in leads}
        traces.append(Trace(drawn.rate, signals))
    return traces


def _mean_prdn(record: Record, overlay: Record) -> float:
    """The mean over leads; nan where the two can't be compared sample by sample."""
    try:
        return metrics.summary(metrics.prdn(record.signal, overlay.select(record.leads).signal))["mean"]
    except ValueError:
        return float("nan")


def _spacing(traces: list[Trace], rows: list[list[Segment]]) -> tuple[float, list[float], float]:
    """The gain, the rows' baselines and the height of the paper, such that no row meets the next."""
    values = [np.concatenate([trace.cut(segment)[1] for trace in traces for segment in row]) for row in rows]
    above = np.array([row.max(where=np.isfinite(row), initial=0) for row in values])
    below = -np.array([row.min(where=np.isfinite(row), initial=0) for row in values])
    peak = max(above.max(), below.max())
    gain = next((gain for gain in GAINS if gain * peak <= REACH), GAINS[-1])
    above = np.clip(gain * above, gain, REACH) + 4  # room for the pulse, and for the name over a tall start
    below = np.clip(gain * below, 4, REACH)
    gaps = 5 * np.ceil(np.array([above[0], *(below[:-1] + above[1:]), below[-1] + 2]) / 5)
    *baselines, height = np.cumsum(gaps).tolist()
    return gain, baselines, height


def sheet(panels: list[Panel], columns: int = 1, footer: float = 0.0) -> "Figure":
    """A figure of panels in reading order, with `footer` mm left free below."""
    from matplotlib.figure import Figure

    lines = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    widths = [MARGIN + max(panel.width for panel in panels[column::columns]) for column in range(columns)]
    heights = [HEADER + max(panel.height for panel in line) + MARGIN for line in lines]
    width, height = sum(widths) + MARGIN, MARGIN + sum(heights) + footer
    figure = Figure(figsize=(width / 25.4, height / 25.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for index, panel in enumerate(panels):
        line, column = divmod(index, columns)
        _draw(axes, panel, MARGIN + sum(widths[:column]), MARGIN + sum(heights[:line]))
    return figure


def _draw(axes: "Axes", panel: Panel, left: float, top: float) -> None:
    """Draw a panel's title line, its paper and its rows."""
    style = {"fontsize": 9, "va": "center", "parse_math": False}
    right, middle = left + panel.width, top + HEADER / 2
    axes.text(left, middle, panel.title, weight="bold", **style)
    axes.text(right, middle, f"{SPEED:g} mm/s   {panel.gain:g} mm/mV", ha="right", **style)
    if len(panel.traces) > 1:
        for (name, colour, _), x in zip(INKS, (right - 85, right - 63), strict=True):
            axes.plot([x - 6, x - 1], [middle, middle], color=colour, lw=1)
            axes.text(x, middle, name, **style)
    _paper(axes, left, top + HEADER, panel.width, panel.height)
    for row, baseline in zip(panel.rows, panel.baselines, strict=True):
        _row(axes, panel, row, left, top + HEADER + baseline)


def _paper(axes: "Axes", left: float, top: float, width: float, height: float) -> None:
    """Pink paper with a line every mm and a bolder one every 5 mm."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top), width, height, facecolor="#fffafa", edgecolor="none"))
    for step, colour, weight in ((1, "#fbe3e3", 0.3), (5, "#f2b8b8", 0.5)):
        lines = [[(left + x, top), (left + x, top + height)] for x in np.arange(0, width + step, step)]
        lines += [[(left, top + y), (left + width, top + y)] for y in np.arange(0, height + step, step)]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=weight), autolim=False)


def _row(axes: "Axes", panel: Panel, row: list[Segment], left: float, baseline: float) -> None:
    """Draw a calibration pulse of 1 mV and 0.2 s, then the segments with their leads' names."""
    top = baseline - panel.gain
    pulse = ([3, 5, 5, 10, 10, 12], [baseline, baseline, top, top, baseline, baseline])
    axes.plot(left + np.array(pulse[0]), pulse[1], color="black", lw=INKS[0][2])
    for segment in row:
        x = left + PULSE + segment.left
        for trace, (_, colour, weight) in zip(panel.traces, INKS, strict=False):
            seconds, values = trace.cut(segment)
            heights = np.clip(panel.gain * values, -REACH, REACH)
            axes.plot(x + SPEED * seconds, baseline - heights, color=colour, lw=weight)
        seconds, values = panel.traces[0].cut(segment)
        start = values[seconds < 0.3]  # what the name would be written over
        tallest = start.max(where=np.isfinite(start), initial=7 / panel.gain)
        y = baseline - min(panel.gain * tallest, REACH) - 1
        axes.text(x + 1, y, segment.lead, fontsize=8, weight="bold", parse_math=False)
