"""The command info."""

from typing import Annotated

from typer import Argument

from ecgvae.cli.app import INSPECTION, Json, Quiet, app, examples
from ecgvae.cli.completion import shipped_models
from ecgvae.cli.terminal import show_facts, show_json


@app.command(rich_help_panel=INSPECTION,
             epilog=examples("ecgvae info ptbxl-vqvae-conv", "ecgvae info runs/mine",
                             "ecgvae info tokens.parquet --json"))
def info(
    item: Annotated[str, Argument(metavar="MODEL|RUN|TOKENS|STORE|RECORD", autocompletion=shipped_models,
                                  help="A shipped model, or the path of a model, run, token file, store or record.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describes a model, run, token file, store or record."""
    from ecgvae.inspection import describe

    facts = describe(item)
    if as_json:
        show_json(facts)
    else:
        show_facts(facts)
