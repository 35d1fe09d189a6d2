"""The command info."""

from typing import Annotated

from typer import Argument

from ecgvae.cli.app import INSPECTION, Json, Quiet, app, examples
from ecgvae.cli.completion import models_and_priors
from ecgvae.cli.terminal import show_facts, show_json


@app.command(rich_help_panel=INSPECTION,
             epilog=examples("ecgvae info ptbxl-vqvae-conv", "ecgvae info runs/mine",
                             "ecgvae info tokens.parquet --json"))
def info(
    item: Annotated[str, Argument(metavar="MODEL|PRIOR|RUN|TOKENS|STORE|RECORD", autocompletion=models_and_priors,
                                  help="A shipped model or prior, or the path of a model, prior, run, token file, "
                                       "store or record.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describes a model, prior, run, token file, store or record."""
    from ecgvae.inspection import describe

    facts = describe(item)
    if as_json:
        show_json(facts)
    else:
        show_facts(facts)
