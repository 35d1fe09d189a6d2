"""Layers of the package: modules import only from lower layers, and importing the package is quick."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ecgvae

PACKAGE = Path(ecgvae.__file__).parent
LAYERS = {
    "wording": 1, "files": 1,
    "codebooks": 1, "conditions": 1, "settings": 1, "legacy": 1, "signal": 1, "noise": 1, "synthetic": 1,
    "metrics": 1, "nn": 1,
    "models": 2, "priors": 2,
    "checkpoint": 3, "data": 3, "resources": 3,
    "tokenizer": 4, "features": 4, "generation": 4,
    "training": 5, "evaluation": 5, "batch": 5, "plotting": 5, "demo": 5,
    "inspection": 6, "catalogue": 6, "cards": 6, "cli": 6, "__main__": 6,
}
OUTSIDE = {"datasets", "recipes", "benchmarks", "tests"}      # the package must not import these
SLOW = {"torch", "wfdb", "pandas", "matplotlib", "scipy", "pyarrow", "accelerate"}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in OUTSIDE)


def imported_modules(source: Path) -> set[str]:
    """Full names of the modules that a file imports, within functions too.

    The imports of `ecgvae/__init__.py` for type checkers do not count: at run time its names are loaded on first use.
    """
    tree = ast.parse(source.read_text())
    if source == PACKAGE / "__init__.py":
        tree.body = [node for node in tree.body if ast.unparse(node).split("\n")[0] != "if TYPE_CHECKING:"]
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source} has a relative import"
            inside = node.module == "ecgvae"
            names |= {f"ecgvae.{alias.name}" for alias in node.names} if inside else {node.module}
    return names


def imported_units(source: Path) -> set[str]:
    """Top-level modules and folders of the package that a file imports."""
    return {name.split(".")[1] for name in imported_modules(source) if name.startswith("ecgvae.")} - {"__version__"}


def unit(source: Path) -> str:
    """The top-level module or folder of the package that a file belongs to."""
    return source.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_module_has_a_layer():
    assert {unit(source) for source in SOURCES} - {"__init__"} <= LAYERS.keys()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(PACKAGE).as_posix())
def test_imports_come_from_lower_layers(source):
    layer = LAYERS.get(unit(source), 0)     # the package itself imports none of its modules
    higher = {name for name in imported_units(source) if LAYERS[name] > layer}
    assert not higher
    assert not {name.split(".")[0] for name in imported_modules(source)} & OUTSIDE


def test_there_are_no_import_cycles():
    imports = {name: set() for name in LAYERS}
    for source in SOURCES:
        imports.setdefault(unit(source), set()).update(imported_units(source) - {unit(source)})
    for _ in imports:
        imports = {name: names.union(*(imports[other] for other in names)) for name, names in imports.items()}
    assert not [name for name, names in imports.items() if name in names]


def test_pyproject_lists_every_package():
    project = PACKAGE.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("not run from the source tree")
    folders = {source.parent.relative_to(PACKAGE.parent).as_posix().replace("/", ".")
               for source in SOURCES if source.name == "__init__.py"}
    packages = tomllib.loads(project.read_text())["tool"]["setuptools"]["packages"]
    assert {name for name in packages if not OUTSIDE.intersection(name.split("."))} == folders
    assert folders == {".".join(source.parent.relative_to(PACKAGE.parent).parts) for source in SOURCES}


def test_public_names_exist():
    assert all(getattr(ecgvae, name) is not None for name in ecgvae.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ecgvae.nothing


@pytest.mark.parametrize(("module", "seconds"), [("ecgvae", 1.5), ("ecgvae.cli", 3)])
def test_importing_loads_no_slow_library(module, seconds):
    """The limits suit a busy machine; an idle one takes a tenth of the time."""
    code = f"import sys, time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t, *sys.modules)"
    elapsed, *modules = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PACKAGE.parent).split()
    assert not SLOW.intersection(modules)
    assert float(elapsed) < seconds
