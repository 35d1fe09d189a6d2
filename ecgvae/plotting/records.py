"""A record on ECG paper, alone or under its reconstruction."""

from collections.abc import Iterable
from pathlib import Path

from ecgvae.plotting.files import check_destination, save_figure
from ecgvae.plotting.paper import lay_out, sheet
from ecgvae.signal import Record, RecordFile


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
    path = check_destination(path, overwrite)
    return save_figure(sheet([lay_out(record, overlay, title)]), path)


def plot_comparison(
    pairs: Iterable[tuple[Record, Record]], path: str | Path, overwrite: bool = False
) -> Path:
    """Draw a panel as of `plot_record` for every (original, reconstruction), in two columns if over three."""
    path = check_destination(path, overwrite)
    panels = [lay_out(original, reconstruction) for original, reconstruction in pairs]
    if not panels:
        raise ValueError("no records to compare; at least one pair is wanted")
    return save_figure(sheet(panels, columns=1 if len(panels) <= 3 else 2), path)
