"""Figure files: their suffixes, and writing them whole or not at all."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
MAX_PIXELS = 4e7


def check_destination(path: str | Path, overwrite: bool) -> Path:
    """The path, if a figure may be written there."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path} ends in {path.suffix or 'no suffix'}; {', '.join(SUFFIXES)} are wanted")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite")
    return path


def save_figure(figure: "Figure", path: Path) -> Path:
    """Write under a temporary name beside the path, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    dpi = min(150.0, np.sqrt(MAX_PIXELS / np.prod(figure.get_size_inches())))
    try:
        figure.savefig(partial, dpi=dpi, format=path.suffix[1:].lower())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
