"""Recipes and data-set scripts by name. A wheel has them inside the package, the repository next to it."""

import difflib
import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgvae.data.store import Store

PACKAGE = Path(__file__).parent


def recipes() -> dict[str, Path]:
    """The YAML files of the recipes by name; a name is DATASET/RECIPE."""
    return {f"{path.parent.name}/{path.stem}": path for path in sorted(resource_folder("recipes").glob("*/*.yaml"))}


def datasets() -> dict[str, Path]:
    """The folders of the data sets that have a `prepare.py`, by name."""
    return {path.parent.name: path.parent for path in sorted(resource_folder("datasets").glob("*/prepare.py"))}


def resource_folder(name: str) -> Path:
    """The folder of this name inside an installed package, else the one next to the package in the repository."""
    return PACKAGE / name if (PACKAGE / name).is_dir() else PACKAGE.parent / name


def find_recipe(recipe: str | Path) -> Path:
    """The YAML file of a recipe.

    Args:
        recipe: The path of a file, or a name. A file that exists comes first. A name may lack its data set if only
            one data set has such a recipe.

    Raises:
        FileNotFoundError: There is no such file or recipe.
    """
    path, files = Path(recipe), recipes()
    if path.exists() and not path.is_dir():     # a folder, such as that of a run, may have the name of a recipe
        return path
    counts = Counter(file.stem for file in files.values())
    short_names = {file.stem: file for file in files.values() if counts[file.stem] == 1}
    return find_by_name("recipe", path.as_posix(), files | short_names, f"a YAML file or one of {', '.join(files)}")


def recipe_summary(path: Path) -> str:
    """The comment in the first line of a recipe, or "" if that line is not a comment."""
    line = path.read_text(encoding="utf-8").partition("\n")[0]
    return line.lstrip("#").strip() if line.startswith("#") else ""


def load_prepare(dataset: str) -> "Callable[..., Store]":
    """The function `prepare` of a data set's script `prepare.py`. The script can't import other files of its folder.

    Args:
        dataset: A name in `datasets()`.

    Returns:
        `prepare(source: Path, out: Path, rate: float = 100, **options) -> Store`, with the options of `build_store`.

    Raises:
        FileNotFoundError: There is no such data set.
    """
    return load_script(dataset).prepare


def recognize_dataset(folder: str | Path) -> str | None:
    """The name of the data set whose folder this is, or a folder within it; None if it is of no known data set.

    A data set's script recognizes its folders in a function `recognize(folder: Path) -> bool`, which it may lack.
    """
    for name in datasets() if Path(folder).is_dir() else ():
        recognize = getattr(load_script(name), "recognize", None)
        if recognize and recognize(Path(folder)):
            return name
    return None


def load_script(dataset: str) -> ModuleType:
    """The script `prepare.py` of a data set; FileNotFoundError if there is no such data set."""
    folders = datasets()
    script = find_by_name("data set", dataset, folders, f"one of {', '.join(folders)}") / "prepare.py"
    spec = importlib.util.spec_from_file_location(f"prepare_{dataset}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_by_name(kind: str, name: str, paths: dict[str, Path], wanted: str) -> Path:
    """The path with a name; FileNotFoundError, which suggests the nearest name, if there is none.

    Args:
        kind: What is searched, for the message.
        name: The name.
        paths: Paths by name.
        wanted: What was wanted, for the message.
    """
    if name in paths:
        return paths[name]
    nearest = "".join(f"; did you mean {match}?" for match in difflib.get_close_matches(name.lower(), paths, n=1))
    raise FileNotFoundError(f"no {kind} {name}; wanted {wanted}{nearest}")
