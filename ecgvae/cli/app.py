"""The command `ecgvae`: the application, and the options that several commands share."""

import signal
from typing import Annotated, Literal

import typer
from typer import Option

from ecgvae.cli.command_group import CommandGroup
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.terminal import set_quiet, show

DEFAULT_MODEL = "ptbxl-vqvae-conv"
# Panels of `ecgvae --help`.
SIGNALS, FEATURES, GENERATION, MODELS, INSPECTION = (
    "Signals and tokens", "Features", "Generation", "Models", "Inspection")

app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Device = Annotated[str, Option(help="cpu, cuda, cuda:1, ..., or auto: a GPU if there is one, else the CPU.")]
BatchSize = Annotated[int, Option(min=1, help="Records in a batch. Smaller batches need less memory.")]
Json = Annotated[bool, Option("--json", help="Print JSON instead of text.")]
LeadMap = Annotated[str | None, Option(help="Leads of channels that are not named after them, as NAME=LEAD pairs: "
                                            "ECG1=II,ECG2=V5. Default: none.")]
MissingLeads = Annotated[Literal["error", "zero"], Option(help="What to do if a record lacks a lead: error skips the "
                                                               "record, zero sets the lead to 0 mV.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an output that exists.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Show no progress and no remarks, only results and errors.",
                               callback=set_quiet)]
AnyAmplitude = Annotated[bool, Option("--any-amplitude", help="Also use records whose amplitudes cannot be those of an "
                                                             "ECG in mV.")]
Strict = Annotated[bool, Option("--strict", help="End with exit code 1 if a record was skipped.")]
Comments = Annotated[bool, Option("--comments/--no-comments", help="Whether to keep the comments of headers (age, sex, "
                                                                  "drugs). Names, dates, times and columns of tables "
                                                                  "are kept.")]
Tokenizer = Annotated[str, Option(help="Tokenizer: a shipped model, a model folder or a run folder.",
                                  autocompletion=shipped_models)]


def examples(*lines: str) -> str:
    return "\n".join(["Examples:", *(f"  {line}" for line in lines)])


@app.callback(invoke_without_command=True, epilog=examples("ecgvae demo",
                                                           "ecgvae tokenize recordings --out tokens.parquet",
                                                           "ecgvae detokenize tokens.parquet --out decoded"))
def ecgvae(
    context: typer.Context,
    quiet: Quiet = False,
    version: Annotated[bool, Option("--version", help="Print the version.")] = False,
) -> None:
    """ECG to tokens and back: prepares data, trains, tokenizes, evaluates and plots."""
    if version:
        from ecgvae import __version__

        show(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Runs the command `ecgvae`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="ecgvae")
