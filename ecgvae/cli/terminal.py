"""How the command line speaks: results to stdout, progress, remarks and mistakes to stderr."""

import json
import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from typer.core import TyperGroup

PERIOD = 30         # seconds between lines of progress where there is no bar
WIDTH = 140         # characters of a table that nobody looks at yet

GO_ON = "run the same command again to go on"
ON_STOP = {"prepare": GO_ON, "tokenize": GO_ON, "detokenize": GO_ON,
           "train": "--resume goes on with a run that had begun"}


class Verbs(TyperGroup):
    """Verbs whose users' mistakes end in one line and exit code 2, and Ctrl-C in one and 130.

    With ECGVAE_DEBUG set, mistakes show where they came up.
    """

    def invoke(self, ctx: typer.Context):
        try:
            super().invoke(ctx)
            sys.stdout.flush()
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            say("; ".join(["stopped", *filter(None, [ON_STOP.get(ctx.invoked_subcommand)])]))
            raise typer.Exit(130) from None
        except BrokenPipeError:     # whoever read the results has enough of them
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            if (mistake := in_one_line(error)) is None or os.environ.get("ECGVAE_DEBUG"):
                raise
            say(f"ecgvae: {mistake}")
            raise typer.Exit(2) from None


def in_one_line(error: Exception) -> str | None:
    """What a user should read of an error; None if it is ours."""
    text = " ".join(str(error).split())
    pydantic = sys.modules.get("pydantic")
    if pydantic and isinstance(error, pydantic.ValidationError):
        from ecgvae.settings import describe_error

        return describe_error(error)
    if isinstance(error, OSError):
        from ecgvae.data.prepare import error_text

        return error_text(error)
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in text):
        return "out of memory; a smaller --batch-size may do"
    return None if isinstance(error, RuntimeError) else text


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def list_remarks(title: str, remarks: Sequence[tuple[str, str]], most: int = 20) -> None:
    """Tell what there is to say about some records; of many, only the first."""
    if remarks:
        say(f"{title} ({len(remarks):,}):")
    for name, remark in remarks[:most]:
        say(f"  {name}: {remark}")
    if len(remarks) > most:
        say(f"  and {len(remarks) - most:,} more")


def list_left_out(remarks: Sequence[tuple[str, str]], path: Path | None = None) -> None:
    """Tell which records were left out and why, in a CSV file too where there is a path."""
    if path:
        from ecgvae.data.merge import write_skipped

        write_skipped(remarks, path)
    list_remarks("left out", remarks)
    if any("the model wants" in reason for _, reason in remarks):
        say("  (with --missing-leads zero, leads that a record lacks are taken as 0 mV)")


def show_json(values) -> None:
    print(to_json(values))


def to_json(values) -> str:
    return json.dumps(finite(values), indent=2, ensure_ascii=False)


def finite(values):
    """The same values with null for numbers that JSON doesn't have."""
    if isinstance(values, dict):
        return {key: finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; all but its first column are numbers, to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def show_facts(facts: dict) -> None:
    """Print facts one a line, their names in a column."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name.replace("_", " "), in_words(fact))
    console().print(table)


def in_words(fact) -> str:
    if isinstance(fact, dict):
        return "\n".join(f"{name.replace('_', ' ')}: {in_words(value)}" for name, value in fact.items()) or "-"
    if isinstance(fact, list | tuple):
        return ("\n" if any(" " in str(item) for item in fact) else ", ").join(map(in_words, fact)) or "-"
    if isinstance(fact, float):
        return f"{fact:,.1f}".removesuffix(".0") if abs(fact) >= 100 else f"{fact:.4g}"
    return f"{fact:,}" if isinstance(fact, int) else "-" if fact is None else str(fact)


def console():
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)


class Progress:
    """How far a job is: a bar on a terminal from the first call on, else a line now and then."""

    def __init__(self, unit: str):
        self.unit, self.bar = unit, None
        self.first: tuple[int, float] | None = None     # done, and when, at the first call
        self.spoken = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        if self.bar:
            self.bar.stop()

    def __call__(self, done: int, total: int, remark: str = "") -> None:
        text = self.text(done, total, remark)
        if sys.stderr.isatty():
            self.bar = self.bar or started_bar()
            self.bar.update(self.bar.task_ids[0], completed=done, total=total, description=text)
        elif time.monotonic() - self.spoken > PERIOD:
            self.spoken = time.monotonic()
            say(text)

    def text(self, done: int, total: int, remark: str) -> str:
        """How much, how fast, how long still."""
        self.first = self.first or (done, time.monotonic())
        parts = [f"{done:,} of {total:,} {self.unit}"]
        seconds, since = time.monotonic() - self.first[1], done - self.first[0]
        if since > 0 and seconds > 0:
            parts += [f"{since / seconds:.3g} a second", f"{duration((total - done) * seconds / since)} left"]
        return ", ".join([*parts, remark] if remark else parts)


def started_bar():
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(), TextColumn("{task.description}", markup=False)
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task("", total=None)
    bar.start()
    return bar


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
