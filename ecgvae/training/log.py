"""The log of a run: two CSV files and the same numbers for TensorBoard."""

import csv
from pathlib import Path

from ecgvae.data.jobs import write_atomically


class Log:
    """Numbers by step; on resume, rows past the step that is resumed are dropped. Silent unless `active`."""

    def __init__(self, run: Path, step: int, active: bool = True):
        self.active, self.last_row, self.last_validation = active, {}, {}
        if active:
            from torch.utils.tensorboard import SummaryWriter

            self.tables = {name: Table(run / f"{name}.csv", step) for name in ("log", "validation")}
            self.last_validation = self.tables["validation"].last_row
            self.board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def training(self, step: int, values: dict, every: int) -> None:
        if step % every == 0 or step == 1:
            self.last_row = {name: float(value) for name, value in values.items()}
            self.write("log", step, self.last_row)

    def validation(self, step: int, values: dict[str, float]) -> None:
        self.last_validation = values
        self.write("validation", step, values)

    def write(self, table: str, step: int, values: dict[str, float]) -> None:
        if self.active:
            self.tables[table].append({"step": step, **values})
            for name, value in values.items():
                self.board.add_scalar(f"{table}/{name}", value, step)

    def flush(self) -> None:
        if self.active:
            self.board.flush()

    def close(self) -> None:
        if self.active:
            self.board.close()


class Table:
    """A CSV file that grows by rows, its columns those of the first row."""

    def __init__(self, path: Path, step: int):
        self.path, self.last_row = path, {}     # the last row's values, without its step
        if not path.exists():
            return
        header, *rows = path.read_text().split("\n")[:-1] or [""]      # what follows the last line's end is torn
        kept = [row for row in rows if int(row.split(",")[0]) <= step]
        write_atomically(path, lambda partial: partial.write_text("".join(f"{line}\n" for line in (header, *kept) if line)))
        if kept:
            self.last_row = dict(zip(header.split(",")[1:], map(float, kept[-1].split(",")[1:]), strict=True))

    def append(self, row: dict) -> None:
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
        self.last_row = {name: float(value) for name, value in row.items() if name != "step"}
