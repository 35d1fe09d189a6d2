"""Verbs about training: train."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ecgvae.cli.app import app, examples
from ecgvae.cli.terminal import Progress


@app.command(epilog=examples("ecgvae train recipes/ptbxl/vqvae.yaml --data store --out run",
                             "ecgvae train recipe.yaml --data store --out run --set model.codebook_size=512",
                             "ecgvae train recipe.yaml --data store --out run --resume"))
def train(
    recipe: Annotated[Path, Argument(metavar="RECIPE", help="YAML file of the model and its training.")],
    data: Annotated[Path, Option(help="Store to train on, as made by prepare.")],
    out: Annotated[Path, Option(help="Folder of the run; the model will be in its folder model.")],
    set: Annotated[list[str] | None, Option(help="key.path=value in place of what the recipe has; repeatable.")] = None,
    resume: Annotated[bool, Option("--resume", help="Go on with a run that was stopped.")] = False,
) -> None:
    """Train a tokenizer on a store.

    On several GPUs: accelerate launch -m ecgvae train ...
    """
    from ecgvae.batch import distributed_state
    from ecgvae.data.store import Store
    from ecgvae.training.loop import train as run
    from ecgvae.training.recipe import read_recipe

    group, plan, store = distributed_state(), read_recipe(recipe, tuple(set or ())), Store(data)
    with Progress("steps") as progress:
        def show(step: int, logged: dict[str, float]) -> None:
            progress(step, plan.training.steps, learnt(logged))

        model = run(plan, store, out, resume, show)
    if group is None or group.is_main_process:
        print(f"model in {model}")


def learnt(logged: dict[str, float]) -> str:
    """The loss, and the validation's PRDN with the fewest codebooks and with all."""
    parts = [f"loss {logged['loss']:.3f}"] if "loss" in logged else []
    errors = [value for name, value in logged.items() if name.startswith("prdn_")]
    return ", ".join(parts + [f"PRDN {errors[0]:.1f} to {errors[-1]:.1f} %"] if errors else parts)
