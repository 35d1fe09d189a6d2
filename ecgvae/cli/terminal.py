"""Output of the command line: results on stdout; progress, remarks and errors on stderr."""

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from ecgvae.cli.text import printable, printable_line, to_json
from ecgvae.wording import count

if TYPE_CHECKING:
    import rich.console
    import rich.progress

PROGRESS_SECONDS = 30       # between lines of progress where stderr is not a terminal
MAX_LINE_CHARACTERS = 2000  # of a remark or an error; names in files may be longer
TABLE_COLUMNS = 140         # width of a table, in characters, where stdout is not a terminal

quiet = False       # set by --quiet


def set_quiet(context: typer.Context, value: bool) -> bool:
    """Stores the value of --quiet, an option of the application and of each command."""
    global quiet
    quiet = value or (context.parent is not None and quiet)
    return value


def say(text: str) -> None:
    """Prints a line on stderr, without the middle if it is very long."""
    line = printable_line(text)
    if len(line) > MAX_LINE_CHARACTERS:
        line = f"{line[:MAX_LINE_CHARACTERS // 2]} ... {line[-MAX_LINE_CHARACTERS // 2:]}"
    print(line, file=sys.stderr, flush=True)


def show(text: object) -> None:
    """Prints a result on stdout."""
    print(printable(str(text)))


def end_strict(strict: bool, skipped: int) -> None:
    """Ends the command with exit code 1 if --strict was given and records were skipped."""
    if strict and skipped:
        say(f"ecgvae: {count(skipped, 'record')} skipped, and --strict was given")
        raise typer.Exit(1)


def remark(text: str) -> None:
    """Prints a line on stderr, unless --quiet was given."""
    if not quiet:
        say(text)


def show_json(values: Any) -> None:
    print(to_json(values))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table. Columns of numbers are aligned to the right."""
    from rich import box
    from rich.table import Table

    rows = list(rows)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = index > 0 and all(is_number(row[index]) for row in rows)
        table.add_column(printable(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    console().print(table)


def is_number(text: str) -> bool:
    """Whether a cell of a table is a number, or the dash for a missing number."""
    try:
        return text == "-" or isinstance(float(text.replace(",", "")), float)
    except ValueError:
        return False


def show_facts(facts: dict) -> None:
    """Prints the name and the value of each fact on a line."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(printable(name.replace("_", " ")), printable(format_fact(fact)))
    console().print(table)


def format_fact(fact: Any) -> str:
    """A value as text; lists and dictionaries of longer items take several lines."""
    if isinstance(fact, dict):
        return "\n".join(f"{name.replace('_', ' ')}: {format_fact(value)}" for name, value in fact.items()) or "-"
    if isinstance(fact, list | tuple):
        return ("\n" if any(" " in str(item) for item in fact) else ", ").join(map(format_fact, fact)) or "-"
    if isinstance(fact, float):
        return f"{fact:,.1f}".removesuffix(".0") if abs(fact) >= 100 else f"{fact:.4g}"
    return f"{fact:,}" if isinstance(fact, int) else "-" if fact is None else str(fact)


def console() -> "rich.console.Console":
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else TABLE_COLUMNS, highlight=False, markup=False)


class Progress:
    """Shows the progress of a job on stderr: a bar on a terminal, else a line every 30 s; nothing with --quiet."""

    def __init__(self, unit: str):
        self.unit = unit
        self.bar: rich.progress.Progress | None = None
        self.first_call: tuple[int, float] | None = None        # records done, and the time
        self.last_line = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, done: int, total: int, status: str = "") -> None:
        if quiet:
            return
        text = self.text(done, total, status)
        if sys.stderr.isatty():
            self.bar = self.bar or start_bar()
            self.bar.update(self.bar.task_ids[0], completed=done, total=total, description=printable_line(text))
        elif time.monotonic() - self.last_line > PROGRESS_SECONDS:
            self.last_line = time.monotonic()
            say(text)

    def text(self, done: int, total: int, status: str) -> str:
        """The amount done, the speed, and the time left."""
        self.first_call = self.first_call or (done, time.monotonic())
        parts = [f"{done:,} of {total:,} {self.unit}"]
        seconds, progress = time.monotonic() - self.first_call[1], done - self.first_call[0]
        if progress > 0 and seconds > 0:
            left = (total - done) * seconds / progress
            parts += [f"{progress / seconds:.3g} a second", f"{format_duration(left)} left"]
        return ", ".join([*parts, status] if status else parts)


def start_bar() -> "rich.progress.Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}", markup=False)
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task("", total=None)
    bar.start()
    return bar


def format_duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, whole_seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{whole_seconds:02}"
