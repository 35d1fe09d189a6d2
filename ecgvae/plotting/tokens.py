"""Tokens as strips of colour under the ECG they belong to."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.plotting.files import check_destination, save_figure
from ecgvae.plotting.paper import HEADER, MARGIN, PULSE, ROW, SPEED, Segment, lay_out, sheet
from ecgvae.signal import Record, RecordFile, canonical_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIP = 4.0  # mm, the height of a strip of codes


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
    path = check_destination(path, overwrite)
    leads = [lead for lead in record.leads if canonical_lead(lead) in ("II", "V2", "V5")] or list(record.leads[:3])
    stop = min(ROW, record.samples / record.rate)
    paper = lay_out(record, None, title, [[Segment(lead, 0, stop)] for lead in leads])
    figure = sheet([paper], footer=STRIP * len(codes) + 2)
    top = MARGIN + HEADER + paper.height + 1
    for index, (stream, hop) in enumerate(zip(codes, hops, strict=True)):
        _strip(figure.axes[0], index, np.asarray(stream), hop / rate, stop, top + index * STRIP)
    return save_figure(figure, path)


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
