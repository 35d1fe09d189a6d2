"""The folder of a run: created for a recipe, and resumed with the same recipe only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ecgvae.data.store import Store
from ecgvae.files import locked_folder, read_json, remove, write_atomically
from ecgvae.training.folder import check_run_folder
from ecgvae.training.recipe import AnyRecipe, TrainingSettings, parse_recipe

MAX_PADDED_SECONDS = 60.0       # a longer window must fit into a record
UNFINISHED = ("*.tmp", "model.partial", "pictures/*.tmp", "pictures/.step-*.png")      # the last by earlier versions


@contextmanager
def open_run(run: Path, recipe: AnyRecipe, resume: bool) -> Iterator[None]:
    """Creates the folder of a run with its recipe.json, or checks that the run can be resumed.

    The folder is locked until the end of the `with` statement, and freed of what a killed run left unfinished.

    Raises:
        FileExistsError: The folder has a run and `resume` is false.
        FileNotFoundError: There is no run to resume.
        OSError: Another process trains in the folder.
        ValueError: The recipe differs from the run's recipe.
    """
    check_run_folder(run, resume)
    run.mkdir(parents=True, exist_ok=True)
    with locked_folder(run):
        check_run_folder(run, resume)       # another process may have created or deleted the run
        path = run / "recipe.json"
        if resume:
            check_same_recipe(path, recipe)
        for pattern in UNFINISHED:
            for unfinished in run.glob(pattern):
                remove(unfinished)
        if not resume:
            write_atomically(path, lambda partial: partial.write_text(recipe.model_dump_json(indent=2) + "\n"))
        yield


def check_windows(settings: TrainingSettings, store: Store, rate: float, min_samples: int) -> None:
    """Raises ValueError if a model of a rate in Hz can't be trained on windows of a store."""
    if store.rate != rate:
        raise ValueError(f"{store.path} has a rate of {store.rate:g} Hz; the recipe wants {rate:g}")
    if settings.window * store.rate < min_samples:
        raise ValueError(f"training.window is {settings.window:g} s; wanted {min_samples} samples or more, "
                         f"{min_samples / store.rate:g} s")
    rows = store.split("train")
    if not len(rows):
        raise ValueError(f"{store.path} has no records in its training split; wanted some to train on")
    longest = float(store.spans[rows, 1].max()) / store.rate
    if settings.window > max(longest, MAX_PADDED_SECONDS):
        raise ValueError(f"training.window is {settings.window:g} s; wanted at most {longest:g} s, the length of the "
                         f"longest training record of {store.path}")


def check_same_recipe(path: Path, recipe: AnyRecipe) -> None:
    """Raises ValueError with the key and both values if a recipe differs from the recipe.json of a run.

    Parsed settings are compared, since a recipe.json of an earlier version may have former names or lack settings.
    """
    wanted = "the recipe that the run was started with"
    values = read_json(path, wanted)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged; wanted {wanted}")
    saved = parse_recipe(values, path).model_dump(mode="json")
    for key, saved_value, new_value in differences(saved, recipe.model_dump(mode="json")):
        raise ValueError(f"{path} has {key} {json.dumps(saved_value)}, the recipe given {json.dumps(new_value)}; "
                         "a run is resumed with its own recipe")


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The differences of two trees of settings, each as the path of keys and both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one | other:
            yield from differences(one.get(key), other.get(key), f"{path}.{key}".lstrip("."))
    elif one != other:
        yield path, one, other
