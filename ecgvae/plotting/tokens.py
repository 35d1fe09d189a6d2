"""Tokens as strips of colours under the ECG."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvae.plotting.files import check_destination, save_figure
from ecgvae.plotting.paper import (
    HEADER_MM,
    MARGIN_MM,
    MM_PER_SECOND,
    PULSE_MM,
    ROW_SECONDS,
    LeadSegment,
    draw_panels,
    layout_panel,
)
from ecgvae.plotting.records import origin_title
from ecgvae.signal import Record, RecordFile, canonical_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRIP_MM = 4.0  # height of a strip of codes


def plot_tokens(
    record: Record | RecordFile,
    codes: Sequence[np.ndarray],
    hops: Sequence[int],
    rate: float,
    path: str | Path,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws the first 10 s of up to three leads, and below them a strip for each codebook with a colour for each code.

    Args:
        record: The ECG that the tokens decode to.
        codes: An array (n,) of codes for each codebook.
        hops: The hop of each codebook, in samples per code at the model's rate.
        rate: The model's sampling rate in Hz.
        path: The figure: .png, .pdf or .svg.
        title: Replaces the name of the record in the title.
        overwrite: Whether to replace a figure that exists.
    """
    path = check_destination(path, overwrite)
    leads = [lead for lead in record.leads if canonical_lead(lead) in ("II", "V2", "V5")] or list(record.leads[:3])
    stop = min(ROW_SECONDS, record.samples / record.rate)
    panel = layout_panel(record, None, origin_title(record, title), [[LeadSegment(lead, 0, stop)] for lead in leads])
    figure = draw_panels([panel], footer=STRIP_MM * len(codes) + 2)
    top = MARGIN_MM + HEADER_MM + panel.height + 1
    for codebook, (row, hop) in enumerate(zip(codes, hops, strict=True)):
        _draw_strip(figure.axes[0], codebook, np.asarray(row), hop / rate, stop, top + codebook * STRIP_MM)
    return save_figure(figure, path)


def _draw_strip(axes: "Axes", codebook: int, codes: np.ndarray, period: float, stop: float, top: float) -> None:
    """Draws the codes of a codebook, `period` seconds each, up to `stop`."""
    from matplotlib.colors import hsv_to_rgb

    starts = np.arange(len(codes)) * period
    starts = starts[starts < stop]
    hue = codes[: len(starts)] * 0.618034  # the golden ratio sets the hues of consecutive codes far apart
    hsv = np.stack([hue % 1, np.full(len(hue), 0.6), 0.6 + 0.35 * (hue * 7 % 1)], axis=-1)
    left = MARGIN_MM + PULSE_MM
    bars = [(left + MM_PER_SECOND * start, MM_PER_SECOND * min(period, stop - start)) for start in starts]
    axes.broken_barh(bars, (top, STRIP_MM - 0.6), facecolors=hsv_to_rgb(hsv))
    axes.text(left - 1, top + STRIP_MM / 2, f"codebook {codebook}", fontsize=6.5, ha="right", va="center")
