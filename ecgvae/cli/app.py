"""The command `ecgvae`: the application, and the options that several verbs share."""

import signal
from typing import Annotated, Literal

import typer
from typer import Option

from ecgvae.cli.terminal import Verbs

DEFAULT_MODEL = "ptbxl-vqvae-conv"

app = typer.Typer(
    cls=Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode="rich", context_settings={"help_option_names": ["-h", "--help"]},
)

Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of a table.")]
Missing = Annotated[Literal["error", "zero"], Option(help="Leave out records that lack a lead, or take it as 0 mV.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an output that exists.")]


def examples(*lines: str) -> str:
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


@app.callback(invoke_without_command=True, epilog=examples("ecgvae demo",
                                                           "ecgvae tokenize recordings --out tokens.parquet",
                                                           "ecgvae detokenize tokens.parquet --out decoded"))
def ecgvae(version: Annotated[bool, Option("--version", help="Print the version.")] = False) -> None:
    """ECG to tokens and back: prepare, train, tokenize, measure and draw."""
    if version:
        from ecgvae import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """The command `ecgvae`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="ecgvae")
