"""Figure files: checks of their paths, and atomic writing."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvae.files import check_free, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
MAX_PIXELS = 4e7
MAX_DPI = 150.0


def check_destination(path: str | Path, overwrite: bool) -> Path:
    """Checks that a figure may be written to a path, and returns the path.

    Raises:
        ValueError: The suffix is not one of `SUFFIXES`.
        FileExistsError: The file exists and `overwrite` is false.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix or 'no suffix'}; wanted {', '.join(SUFFIXES)}")
    check_free(path, overwrite)
    return path


def save_figure(figure: "Figure", path: Path) -> Path:
    """Draws a figure in memory, and writes it atomically; OSError if it can't be written."""
    dpi = min(MAX_DPI, math.sqrt(MAX_PIXELS / math.prod(figure.get_size_inches())))
    content = io.BytesIO()
    figure.savefig(content, dpi=dpi, format=path.suffix[1:].lower())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda partial: partial.write_bytes(content.getbuffer()))
    return path
