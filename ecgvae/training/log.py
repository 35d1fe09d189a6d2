"""The log of a run: two CSV files, and the same numbers with pictures for TensorBoard."""

import csv
import math
from pathlib import Path

from ecgvae.files import name_errors
from ecgvae.training.objectives import TERMS
from ecgvae.training.table import read_table, write_table

TAGS = {"log": "train", "validation": "validation"}     # the group of a table's columns in TensorBoard
MAX_LOG = 700.0     # the exponential of a larger number overflows
FORMER_COLUMNS = {"evenness": "usage_loss"}


class Log:
    """Logs numbers by step. When a run is resumed, rows after the resumed step are removed.

    Only an `active` log, which is that of the first process, writes files.

    The columns of log.csv are:

    - `loss`: the total, with the recipe's weights;
    - `prdn`, `derivative`, `spectral`: relative errors of the batch in %. Their losses are the mean logarithms of
      these errors as fractions (see `ecgvae.training.objectives`);
    - the model's other loss terms (`commitment`, `usage_loss`, `nll`, `kl`, ...), those of the adversary, and the
      model's statistics (`perplexity`, `active_units`, ...);
    - `gradient`: norm of the gradient before it is clipped;
    - `learning_rate`.

    The errors of step 1 are too low: k-means has just placed the codes on that batch.

    The columns `prdn_1`, `prdn_2`, ... of validation.csv are the mean PRDN in % with one, two, ... codebooks. That of
    a prior has `loss` and, for tokens, `bits_per_second`, the loss as a code length.
    """

    def __init__(self, run: Path, step: int, active: bool = True):
        self.active = active
        self.last_row: dict[str, float] = {}
        self.last_validation: dict[str, float] = {}
        if active:
            from torch.utils.tensorboard import SummaryWriter

            convert_former_log(run / "log.csv")
            self.tables = {name: Table(run / f"{name}.csv", step) for name in TAGS}
            self.last_validation = self.tables["validation"].last_row
            self.folder = run / "tensorboard"
            with name_errors(self.folder):
                self.board = SummaryWriter(str(self.folder), purge_step=step + 1)

    def training(self, step: int, values: dict, every: int) -> None:
        """Logs the values of the first step and of steps that are multiples of `every`."""
        if step % every == 0 or step == 1:
            self.last_row = {name: float(value) for name, value in values.items()}
            self.write("log", step, self.last_row)

    def validation(self, step: int, values: dict[str, float], picture: Path | None = None) -> None:
        """Logs the results of a validation, and its picture (a PNG file) in TensorBoard."""
        self.last_validation = values
        self.write("validation", step, values)
        if self.active and picture:
            from matplotlib.image import imread

            self.board.add_image("validation/reconstructions", imread(picture), step, dataformats="HWC")

    def write(self, table: str, step: int, values: dict[str, float]) -> None:
        """Adds a row to a table, and its values to TensorBoard."""
        if self.active:
            self.tables[table].append({"step": step, **values})
            with name_errors(self.folder):
                for name, value in values.items():
                    self.board.add_scalar(f"{TAGS[table]}/{name}", value, step)

    def flush(self) -> None:
        if self.active:
            with name_errors(self.folder):
                self.board.flush()

    def close(self) -> None:
        if self.active:
            with name_errors(self.folder):
                self.board.close()


class Table:
    """A CSV file to which rows are appended. Its first row decides the columns.

    The constructor removes the rows after `step`, and a last line without an end, of an interrupted run.
    """

    def __init__(self, path: Path, step: int):
        self.path = path
        self.last_row: dict[str, float] = {}     # the last row's values, without its step
        self.columns, rows = read_table(path)
        kept = [row for row in rows if int(row[0]) <= step]
        if path.exists():
            write_table(path, self.columns, kept)
        if kept:
            values = zip(self.columns[1:], kept[-1][1:], strict=True)
            self.last_row = {name: float(value) for name, value in values if value}

    def append(self, row: dict[str, float]) -> None:
        """Writes a row. ValueError if it has other columns than the table."""
        self.columns = self.columns or list(row)
        if set(row) != set(self.columns):
            raise ValueError(f"{self.path} has columns {', '.join(self.columns)}; this run logs {', '.join(row)}")
        with name_errors(self.path), self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
        self.last_row = {name: float(value) for name, value in row.items() if name != "step"}


def convert_former_log(path: Path) -> None:
    """Rewrites a log.csv of an earlier version, so that its rows and those of a resumed run have the same meaning.

    Earlier versions logged the losses of relative errors (mean logarithms) in place of the errors, and no learning
    rate. A log without the column `learning_rate` is such a log; in its rows the column stays empty.
    """
    columns, rows = read_table(path)
    if not columns or "learning_rate" in columns:
        return
    converted = [[f"{100 * math.exp(min(float(value), MAX_LOG))!r}" if value and name in TERMS else value
                  for name, value in zip(columns, row, strict=True)] for row in rows]
    names = [FORMER_COLUMNS.get(name, name) for name in columns]
    write_table(path, [*names, "learning_rate"], [[*row, ""] for row in converted])
