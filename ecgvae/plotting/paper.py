"""ECG on paper. Figures have the true size; positions are in mm from the top left corner."""

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgvae import metrics
from ecgvae.signal import LEADS_12, Record, RecordFile, canonical_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM_PER_SECOND = 25.0
GAINS_MM_PER_MV = (10.0, 5.0, 2.5, 1.0, 0.5, 0.1)  # the first one that keeps the signal within limits
MAX_DEFLECTION_MM = 40.0  # above or below the baseline; larger values are clipped
MARGIN_MM, HEADER_MM, PULSE_MM = 5.0, 7.0, 15.0  # around a panel; its title; its calibration pulse
CAPTION_MM = 12.0  # a line above all panels
CAPTION_POINTS, TITLE_POINTS, SCALE_MM = 18.0, 9.0, 42.0  # sizes of type; room for the scale beside a panel's title
CHARACTER_MM = 0.23  # width of a bold character for each point of its size
ROW_SECONDS, MAX_SECONDS = 10.0, 30.0  # longest row, longest part of a record in a figure
TRACE_STYLES = (("original", "black", 0.75), ("reconstruction", "red", 0.55))  # name, colour, line width
INVENTED_STYLE = {"ls": (0, (3, 1.2)), "alpha": 0.6}  # of leads that were not recorded


@dataclass(frozen=True)
class LeadSegment:
    """A lead from `start` to `stop` in seconds. Its drawing begins `left` mm into its row."""

    lead: str
    start: float
    stop: float
    left: float = 0.0


@dataclass(frozen=True)
class Trace:
    """The leads of a record or its reconstruction in mV, less the median of the record's lead."""

    rate: float
    leads: dict[str, np.ndarray]

    def cut(self, segment: LeadSegment) -> tuple[np.ndarray, np.ndarray]:
        """Times in seconds from the start of a segment, and values in mV; empty arrays if the lead is missing."""
        start, stop = (round(second * self.rate) for second in (segment.start, segment.stop))
        values = self.leads.get(segment.lead, np.zeros(0))[start:stop]
        return np.arange(len(values)) / self.rate, values


@dataclass(frozen=True)
class Panel:
    """A sheet of paper with rows of segments. Lengths are in mm, baselines are measured from the top.

    The gain is in mm/mV. Invented leads are dashed.
    """

    title: str
    traces: list[Trace]
    rows: list[list[LeadSegment]]
    baselines: list[float]
    gain: float
    width: float
    height: float
    invented_leads: tuple[str, ...] = ()


def layout_panel(
    record: Record | RecordFile,
    overlay: Record | None,
    title: str | None = None,
    rows: list[list[LeadSegment]] | None = None,
    min_seconds: float = ROW_SECONDS,
    max_deflection: float = MAX_DEFLECTION_MM,
) -> Panel:
    """The panel of a record's first 30 s. The title has the length shown, and the PRDN of that part.

    The PRDN is the mean over all leads that are not invented.

    Args:
        record: The ECG.
        overlay: The reconstruction to draw over it.
        title: Replaces the name of the record in the title.
        rows: Rows of segments instead of the standard ones.
        min_seconds: Least width of the paper, in seconds.
        max_deflection: The gain is the highest one that keeps the signal within so many mm of the baseline.

    Raises:
        ValueError: The record has no samples.
    """
    if not record.samples:
        raise ValueError(f"{record.name} has no samples; wanted at least one")
    seconds = record.samples / record.rate
    record, overlay = _shown_part(record), overlay and _shown_part(overlay)
    rows = rows or _standard_rows(record)
    shown = max(segment.stop for row in rows for segment in row)
    notes = [record.name if title is None else title]
    if shown < seconds:
        notes.append(f"first {shown:g} s of {seconds:.1f} s")
    if overlay is not None and np.isfinite(error := _mean_prdn(record, overlay)):
        notes.append(f"PRDN {error:.1f} %")
    traces = _traces(record, overlay)
    gain, baselines, height = _spacing(traces, rows, max_deflection)
    longest = max(segment.stop - segment.start + segment.left / MM_PER_SECOND for row in rows for segment in row)
    width = PULSE_MM + 5 * np.ceil(MM_PER_SECOND * max(longest, min_seconds) / 5) + 5
    return Panel(" · ".join(notes), traces, rows, baselines, gain, width, height, _invented(record, overlay))


def _invented(record: Record, overlay: Record | None) -> tuple[str, ...]:
    """The leads of a record that were invented in it or in its reconstruction."""
    leads = {*record.invented_leads, *(overlay.invented_leads if overlay is not None else ())}
    names = set(map(canonical_lead, leads))
    return tuple(lead for lead in record.leads if canonical_lead(lead) in names)


def _shown_part(record: Record | RecordFile) -> Record:
    return record.read(0, round(MAX_SECONDS * record.rate))


def _standard_rows(record: Record) -> list[list[LeadSegment]]:
    """Rows of segments: the standard layout for a 12-lead record of up to 11 s, else a row for each lead and 10 s."""
    seconds = record.duration
    names = {canonical_lead(lead): lead for lead in record.leads}
    if set(names) != set(LEADS_12) or seconds > ROW_SECONDS + 1:
        spans = [(start, min(start + ROW_SECONDS, seconds)) for start in np.arange(0, seconds, ROW_SECONDS)]
        return [[LeadSegment(lead, start, stop)] for start, stop in spans for lead in record.leads]
    cuts = np.linspace(0, seconds, 5)
    rows = [
        [
            LeadSegment(names[lead], start, stop, MM_PER_SECOND * start)
            for lead, start, stop in zip(LEADS_12[row::3], cuts[:-1], cuts[1:], strict=True)
        ]
        for row in range(3)
    ]
    return [*rows, [LeadSegment(names["II"], 0, seconds)]]


def _traces(record: Record, overlay: Record | None) -> list[Trace]:
    """The traces of a record and of its reconstruction, less the medians of the record's leads."""
    medians = {
        lead: np.median(values[np.isfinite(values)]) if np.isfinite(values).any() else 0.0
        for lead, values in zip(record.leads, record.signal, strict=True)
    }
    traces = []
    for source in (record,) if overlay is None else (record, overlay):
        names = {canonical_lead(lead) for lead in source.leads}
        leads = [lead for lead in record.leads if canonical_lead(lead) in names]
        signals = {lead: source.select([lead]).signal[0] - medians[lead] for lead in leads}
        traces.append(Trace(source.rate, signals))
    return traces


def _mean_prdn(record: Record, overlay: Record) -> float:
    """The mean PRDN over leads that are not invented; NaN if there are none, or leads or lengths differ."""
    invented = _invented(record, overlay)
    leads = [lead for lead in record.leads if lead not in invented]
    try:
        return metrics.summary(metrics.prdn(record.select(leads).signal, overlay.select(leads).signal))["mean"]
    except ValueError:
        return float("nan")


def _spacing(
    traces: list[Trace], rows: list[list[LeadSegment]], max_deflection: float
) -> tuple[float, list[float], float]:
    """The gain, the baselines of the rows, and the height of the panel, with which rows do not overlap."""
    values = [np.concatenate([trace.cut(segment)[1] for trace in traces for segment in row]) for row in rows]
    above = np.array([row.max(where=np.isfinite(row), initial=0) for row in values])
    below = -np.array([row.min(where=np.isfinite(row), initial=0) for row in values])
    peak = max(above.max(), below.max())
    gain = next((gain for gain in GAINS_MM_PER_MV if gain * peak <= max_deflection), GAINS_MM_PER_MV[-1])
    above = np.clip(gain * above, gain, MAX_DEFLECTION_MM) + 4  # space for the pulse and the name
    below = np.clip(gain * below, 4, MAX_DEFLECTION_MM)
    gaps = 5 * np.ceil(np.array([above[0], *(below[:-1] + above[1:]), below[-1] + 2]) / 5)
    *baselines, height = np.cumsum(gaps).tolist()
    return gain, baselines, height


def draw_panels(panels: list[Panel], columns: int = 1, footer: float = 0.0, caption: str = "") -> "Figure":
    """A figure with panels in reading order below a caption, and `footer` mm of free space at the bottom."""
    from matplotlib.figure import Figure

    lines = [panels[first : first + columns] for first in range(0, len(panels), columns)]
    widths = [MARGIN_MM + max(panel.width for panel in panels[column::columns]) for column in range(columns)]
    heights = [HEADER_MM + max(panel.height for panel in line) + MARGIN_MM for line in lines]
    first_top = MARGIN_MM + (CAPTION_MM if caption else 0)
    width, height = sum(widths) + MARGIN_MM, first_top + sum(heights) + footer
    figure = Figure(figsize=(width / 25.4, height / 25.4))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    if caption:
        points = min(CAPTION_POINTS, (width - 2 * MARGIN_MM) / (CHARACTER_MM * len(caption)))
        axes.text(MARGIN_MM, first_top / 2, caption, fontsize=points, weight="bold", va="center", parse_math=False)
    for index, panel in enumerate(panels):
        line, column = divmod(index, columns)
        _draw(axes, panel, MARGIN_MM + sum(widths[:column]), first_top + sum(heights[:line]))
    return figure


def _draw(axes: "Axes", panel: Panel, left: float, top: float) -> None:
    """Draws the title, the paper and the rows of a panel."""
    style: dict[str, Any] = {"fontsize": TITLE_POINTS, "va": "center", "parse_math": False}
    right, middle = left + panel.width, top + HEADER_MM / 2
    room = int((panel.width - SCALE_MM) / (CHARACTER_MM * TITLE_POINTS))
    axes.text(left, middle, textwrap.shorten(panel.title, max(room, 1), placeholder=" …"), weight="bold", **style)
    axes.text(right, middle, f"{MM_PER_SECOND:g} mm/s   {panel.gain:g} mm/mV", ha="right", **style)
    if len(panel.traces) > 1:
        for (name, colour, _), x in zip(TRACE_STYLES, (right - 85, right - 63), strict=True):
            axes.plot([x - 6, x - 1], [middle, middle], color=colour, lw=1)
            axes.text(x, middle, name, **style)
    _draw_paper(axes, left, top + HEADER_MM, panel.width, panel.height)
    for row, baseline in zip(panel.rows, panel.baselines, strict=True):
        _draw_row(axes, panel, row, left, top + HEADER_MM + baseline)


def _draw_paper(axes: "Axes", left: float, top: float, width: float, height: float) -> None:
    """Draws pink paper with a line every mm and a bolder one every 5 mm."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((left, top), width, height, facecolor="#fffafa", edgecolor="none"))
    for step, colour, weight in ((1, "#fbe3e3", 0.3), (5, "#f2b8b8", 0.5)):
        lines = [[(left + x, top), (left + x, top + height)] for x in np.arange(0, width + step, step)]
        lines += [[(left, top + y), (left + width, top + y)] for y in np.arange(0, height + step, step)]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=weight), autolim=False)


def _draw_row(axes: "Axes", panel: Panel, row: list[LeadSegment], left: float, baseline: float) -> None:
    """Draws a calibration pulse of 1 mV and 0.2 s, then the segments with the names of their leads."""
    top = baseline - panel.gain
    pulse = ([3, 5, 5, 10, 10, 12], [baseline, baseline, top, top, baseline, baseline])
    axes.plot(left + np.array(pulse[0]), pulse[1], color="black", lw=TRACE_STYLES[0][2])
    for segment in row:
        x = left + PULSE_MM + segment.left
        style: dict[str, Any] = INVENTED_STYLE if segment.lead in panel.invented_leads else {}
        for trace, (_, colour, weight) in zip(panel.traces, TRACE_STYLES, strict=False):
            seconds, values = trace.cut(segment)
            heights = np.clip(panel.gain * values, -MAX_DEFLECTION_MM, MAX_DEFLECTION_MM)
            axes.plot(x + MM_PER_SECOND * seconds, baseline - heights, color=colour, lw=weight, **style)
        seconds, values = panel.traces[0].cut(segment)
        under_name = values[seconds < (0.9 if style else 0.3)]
        peak = under_name.max(where=np.isfinite(under_name), initial=7 / panel.gain)
        y = baseline - min(panel.gain * peak, MAX_DEFLECTION_MM) - 1
        name = f"{segment.lead} (invented)" if style else segment.lead
        axes.text(x + 1, y, name, fontsize=8, weight="bold", parse_math=False)
