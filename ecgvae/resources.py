"""Recipes and data-set scripts, found by name. A wheel has them in the package, the repository beside it."""

import difflib
import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgvae.data.store import Store

PACKAGE = Path(__file__).parent


def recipes() -> dict[str, Path]:
    """The YAML file of every recipe by its name, which is DATASET/RECIPE."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(folder("recipes").glob("*/*.yaml"))}


def datasets() -> dict[str, Path]:
    """The folder of every data set that has a `prepare.py`, by its name."""
    return {path.parent.name: path.parent for path in sorted(folder("datasets").glob("*/prepare.py"))}


def folder(name: str) -> Path:
    """The folder inside an installed package, else the one beside the package in the repository."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


def find_recipe(recipe: str | Path) -> Path:
    """The YAML file of a recipe. A file of that path comes before a recipe of that name.

    Args:
        recipe: A path or a name. The data set may be left out of a name that only one data set has.

    Raises:
        FileNotFoundError: There is neither such a file nor such a recipe.
    """
    path, known = Path(recipe), recipes()
    if path.exists() and not path.is_dir():     # the folder of a run may have the name of its recipe
        return path
    times = Counter(found.stem for found in known.values())
    short = {found.stem: found for found in known.values() if times[found.stem] == 1}
    return choose("recipe", path.as_posix(), known | short, f"a YAML file or one of {', '.join(known)}")


def recipe_summary(path: Path) -> str:
    """The comment in the first line of a recipe; empty if that line is not a comment."""
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.lstrip("#").strip() if line.startswith("#") else ""


def load_prepare(dataset: str) -> "Callable[..., Store]":
    """The function `prepare` of a data set's `prepare.py`, a script that cannot import the files beside it.

    Args:
        dataset: A name in `datasets()`.

    Returns:
        `prepare(source: Path, out: Path, rate: float = 100, **options) -> Store`, with the options of `build_store`.

    Raises:
        FileNotFoundError: There is no such data set.
    """
    known = datasets()
    script = choose("data set", dataset, known, f"one of {', '.join(known)}") / "prepare.py"
    spec = importlib.util.spec_from_file_location(f"prepare_{dataset}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepare


def choose(kind: str, name: str, known: dict[str, Path], wanted: str) -> Path:
    if name in known:
        return known[name]
    nearest = "".join(f"; did you mean {match}?" for match in difflib.get_close_matches(name.lower(), known, n=1))
    raise FileNotFoundError(f"no {kind} {name}; wanted {wanted}{nearest}")
