"""Tables of a run: CSV files of numbers by step, read without loading torch."""

from pathlib import Path

from ecgvae.files import read_regular_file, write_atomically
from ecgvae.training.folder import MAX_STEPS


def read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a CSV file; none if there is no file. A last line without an end is ignored.

    Raises:
        ValueError: It is not a table of numbers by step.
    """
    if not path.exists():
        return [], []
    try:
        lines = read_regular_file(path, "the log of a run").decode().split("\n")[:-1]
    except UnicodeDecodeError:
        raise ValueError(f"{path} is damaged: it is not a text in UTF-8") from None
    columns, *rows = (line.split(",") for line in lines) if lines else ([],)
    for number, row in enumerate(rows, 2):
        if columns[0] != "step" or len(row) != len(columns) or not is_row(row):
            raise ValueError(f"{path} is damaged in line {number}; wanted a step and numbers")
    return columns, rows


def is_row(cells: list[str]) -> bool:
    """Whether cells are a step and numbers, of which some may be missing."""
    try:
        return 0 <= int(cells[0]) <= MAX_STEPS and all(isinstance(float(cell or 0), float) for cell in cells)
    except ValueError:
        return False


def write_table(path: Path, columns: list[str], rows: list[list[str]]) -> None:
    """Replaces a CSV file; without columns it becomes empty."""
    lines = [",".join(row) + "\n" for row in (columns, *rows) if row]
    write_atomically(path, lambda partial: partial.write_text("".join(lines)))
