"""The commands recipes and models, which list the resources that come with ecgvae."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import MODELS, Json, Quiet, app, examples
from ecgvae.cli.completion import recipe_names
from ecgvae.cli.terminal import show, show_json, show_table


@app.command(rich_help_panel=MODELS, epilog=examples("ecgvae recipes", "ecgvae recipes vqvae2 > mine.yaml"))
def recipes(
    name: Annotated[str | None, Argument(metavar="NAME", autocompletion=recipe_names,
                                         help="Recipe whose YAML file is printed. Default: all are listed.",
                                         show_default=False)] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists the recipes for training, or prints one of them."""
    from ecgvae import resources
    from ecgvae.files import MAX_YAML_BYTES, read_regular_file, read_yaml

    if name is None:
        rows = [describe_recipe(name, path) for name, path in resources.recipes().items()]
        if as_json:
            show_json(rows)
        else:
            show_table(["recipe", "what it trains"], [[row["name"], row["summary"]] for row in rows])
        return
    path = resources.find_recipe(name)
    if not as_json:
        text = read_regular_file(path, "the YAML file of a recipe", MAX_YAML_BYTES).decode()
        show(text.removesuffix("\n"))
        return
    values = read_yaml(path, "the YAML file of a recipe")
    show_json({**describe_recipe(name, path), "recipe": values})


def describe_recipe(name: str, path: Path) -> dict[str, str]:
    from ecgvae.resources import recipe_summary

    return {"name": name, "summary": recipe_summary(path), "path": str(path)}


@app.command(rich_help_panel=MODELS, epilog=examples("ecgvae models", "ecgvae models --sizes", "ecgvae models --json"))
def models(
    sizes: Annotated[bool, Option("--sizes", help="Also list every family in every size, with the number of "
                                                  "parameters and the cost.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists the models and priors that come with ecgvae."""
    from ecgvae.catalogue import model_sizes, shipped_models, shipped_priors

    tables = {"shipped": shipped_models(), "priors": shipped_priors()} | ({"families": model_sizes()} if sizes else {})
    if as_json:
        show_json(tables)
        return
    show_table(["model", "family", "backbone", "parameters", "MB", "codebooks", "bit/s"],
               [[row["name"], row["family"], row["backbone"], f"{row['parameters']:,}", f"{row['megabytes']:.1f}",
                 f"{row['codebooks']}" if row["codebooks"] else "-",
                 f"{row['bits_per_second']:.0f}" if row["codebooks"] else "-"] for row in tables["shipped"]])
    if tables["priors"]:
        show("")
        show_table(["prior", "kind", "autoencoder", "parameters", "MB", "bit/s"],
                   [[row["name"], row["prior_kind"], row["autoencoder"], f"{row['parameters']:,}",
                     f"{row['megabytes']:.1f}",
                     f"{row['bits_per_second']:.0f}" if row["bits_per_second"] else "-"] for row in tables["priors"]])
    if sizes:
        show("")
        show_table(["family", "backbone", "parameters", "MFLOP per second of ECG"],
                   [[row["family"], row["backbone"], f"{row['parameters']:,}", f"{row['mflop_per_second']:.1f}"]
                    for row in tables["families"]])
