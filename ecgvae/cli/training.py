"""The command train."""

import threading
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import MODELS, Quiet, app, examples
from ecgvae.cli.completion import recipe_names
from ecgvae.cli.paths import check_run, check_store
from ecgvae.cli.terminal import Progress, remark, show


@app.command(rich_help_panel=MODELS,
             epilog=examples("ecgvae train vqvae --data store --out runs/mine",
                             "ecgvae train recipe.yaml --data store --out runs/mine --set model.latent=32",
                             "ecgvae train recipe.yaml --data store --out runs/mine --resume"))
def train(
    recipe: Annotated[str, Argument(metavar="RECIPE", autocompletion=recipe_names,
                                    help="Recipe: a YAML file, or a name that `ecgvae recipes` lists.")],
    data: Annotated[Path, Option(help="Store to train on.")],
    out: Annotated[Path, Option(help="Folder of the run. The model is written to its subfolder model.")],
    set: Annotated[list[str] | None, Option(help="key.path=value to replace a value of the recipe. May be repeated. "
                                                 "Default: none.")] = None,
    resume: Annotated[bool, Option("--resume", help="Continue a run that was stopped.")] = False,
    quiet: Quiet = False,
) -> None:
    """Trains a model on a store.

    On several GPUs: accelerate launch -m ecgvae train ...
    """
    from ecgvae.resources import find_recipe

    path = find_recipe(recipe)
    check_store(data)
    check_run(out, resume)
    from ecgvae.batch import distributed_state
    from ecgvae.data.store import Store
    from ecgvae.training.loop import train as run
    from ecgvae.training.recipe import read_recipe

    processes, settings, store = distributed_state(), read_recipe(path, tuple(set or ())), Store(data)
    if not len(store.split("validation")):
        remark(f"{data} has no records in its validation split; the training is not validated")
    threading.excepthook = skip_system_errors
    with Progress("steps") as progress:
        def show_step(step: int, logged: dict[str, float]) -> None:
            progress(step, settings.training.steps, summarize(logged))

        model = run(settings, store, out, resume, show_step)
    if processes is None or processes.is_main_process:
        show(f"model in {model}")


def skip_system_errors(event: threading.ExceptHookArgs) -> None:
    """Prints the error of a thread, unless it is one of the system.

    TensorBoard's thread ends at a full disk, and its next call in the main thread raises the same error.
    """
    if not isinstance(event.exc_value, OSError):
        threading.__excepthook__(event)


def summarize(logged: dict[str, float]) -> str:
    """The loss, and the PRDN of the last validation with one codebook and with all."""
    texts = [f"loss {logged['loss']:.3f}"] if "loss" in logged else []
    prdn = [value for name, value in logged.items() if name.startswith("prdn_")]
    return ", ".join([*texts, f"PRDN {prdn[0]:.1f} to {prdn[-1]:.1f} %"] if prdn else texts)
