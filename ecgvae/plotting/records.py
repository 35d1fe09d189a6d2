"""Records on ECG paper, alone or with their reconstructions."""

from collections.abc import Iterable
from pathlib import Path

from ecgvae.plotting.files import check_destination, save_figure
from ecgvae.plotting.paper import draw_panels, layout_panel
from ecgvae.signal import Record, RecordFile
from ecgvae.signal.generated import generated_note


def plot_record(
    record: Record | RecordFile,
    path: str | Path,
    overlay: Record | None = None,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draws a record on ECG paper in black, and its reconstruction in red with the PRDN of the part shown.

    A 12-lead record of up to 11 s has the standard layout: three rows of four leads, and lead II below. Any other
    record has a row for each lead and 10 s, and is drawn up to 30 s. Leads that a model has invented are dashed and
    named so. The title of a generated record says what generated it.

    Args:
        record: The ECG.
        path: The figure: .png, .pdf or .svg.
        overlay: The reconstruction.
        title: Replaces the name of the record in the title.
        overwrite: Whether to replace a figure that exists.
    """
    path = check_destination(path, overwrite)
    return save_figure(draw_panels([layout_panel(record, overlay, origin_title(record, title))]), path)


def origin_title(record: Record | RecordFile, title: str | None = None) -> str:
    """A title, by default the name of a record, which also says what generated the record if it is generated."""
    note = generated_note(record.comments)
    return " · ".join([record.name if title is None else title, *([note] if note else [])])


def plot_comparison(
    pairs: Iterable[tuple[Record, Record]], path: str | Path, overwrite: bool = False
) -> Path:
    """Draws each pair (original, reconstruction) as `plot_record` does, in two columns if there are more than three.

    Raises:
        ValueError: There are no pairs, or the suffix is not that of a figure.
        FileExistsError: The figure exists and `overwrite` is false.
    """
    path = check_destination(path, overwrite)
    panels = [layout_panel(original, reconstruction, origin_title(original)) for original, reconstruction in pairs]
    if not panels:
        raise ValueError("no records to compare; wanted at least one pair")
    return save_figure(draw_panels(panels, columns=1 if len(panels) <= 3 else 2), path)
