"""The folder of a run: created for a recipe, and resumed with the same recipe only."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgvae.data.jobs import write_atomically
from ecgvae.data.store import Store
from ecgvae.training.folder import check_run_folder
from ecgvae.training.objectives import STFT_SIZES
from ecgvae.training.recipe import Recipe, parse_recipe

MIN_WINDOW_SAMPLES = max(STFT_SIZES)


def open_run(run: Path, recipe: Recipe, store: Store, resume: bool) -> None:
    """Creates the folder of a run with its recipe.json, or checks that the run can be resumed.

    Raises:
        FileExistsError: The folder has a run and `resume` is false.
        FileNotFoundError: There is no run to resume.
        ValueError: The recipe does not fit the store, or differs from the run's recipe.
    """
    path = run / "recipe.json"
    if store.rate != recipe.model.signal.rate:
        raise ValueError(f"{store.path} has a rate of {store.rate:g} Hz; the recipe wants {recipe.model.signal.rate:g}")
    if recipe.training.window * store.rate < MIN_WINDOW_SAMPLES:
        raise ValueError(f"training.window is {recipe.training.window:g} s; wanted {MIN_WINDOW_SAMPLES} samples or "
                         f"more, {MIN_WINDOW_SAMPLES / store.rate:g} s")
    check_run_folder(run, resume)
    if resume:
        check_same_recipe(path, recipe)
        return
    run.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda partial: partial.write_text(recipe.model_dump_json(indent=2) + "\n"))


def check_same_recipe(path: Path, recipe: Recipe) -> None:
    """Raises ValueError with the key and both values if a recipe differs from the recipe.json of a run.

    Parsed settings are compared, since a recipe.json of an earlier version may have former names or lack settings.
    """
    try:
        values = json.loads(path.read_text())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged; wanted the recipe that the run was started with")
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
