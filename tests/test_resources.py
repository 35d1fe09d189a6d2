"""Recipes and data sets are found by name, and the wheel carries them."""

import inspect
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from ecgvae import resources
from ecgvae.resources import PACKAGE, datasets, find_recipe, load_prepare, recipe_summary, recipes

ROOT = PACKAGE.parent
PROJECT = ROOT / "pyproject.toml"
SHIPPED = ("datasets", "recipes")
from_source = pytest.mark.skipif(not PROJECT.exists(), reason="not run from the source tree")


def setuptools_is_old() -> bool:
    try:
        return int(version("setuptools").split(".")[0]) < 77
    except PackageNotFoundError:
        return True


def shipped_files() -> set[str]:
    """The files of recipes and data sets, as their paths in the repository."""
    files = (path for name in SHIPPED for path in (ROOT / name).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc" and path.name[0] != "."}


@pytest.fixture
def two_data_sets(tmp_path, monkeypatch):
    """Two data sets that share the recipe `vae`, in the package's place."""
    for name in ("apnea/vae", "apnea/vqvae", "holter/vae"):
        path = tmp_path / "recipes" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("model: {}\n")
    monkeypatch.setattr(resources, "PACKAGE", tmp_path)
    return tmp_path / "recipes"


def test_every_recipe_has_one_name():
    found = recipes()
    assert {"ptbxl/ae", "ptbxl/vqvae", "ptbxl/vqvae2"} <= found.keys()
    assert len(set(found.values())) == len(found)
    assert all(find_recipe(name) == path and path.is_file() for name, path in found.items())


@pytest.mark.parametrize("name", ["vqvae2", "ptbxl/vqvae2", Path("ptbxl/vqvae2")])
def test_a_recipe_is_found_by_name(name):
    assert find_recipe(name) == recipes()["ptbxl/vqvae2"]


def test_a_file_comes_before_a_name_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("vqvae2").mkdir()
    assert find_recipe("vqvae2") == recipes()["ptbxl/vqvae2"]
    Path("vae").write_text("model: {}\n")
    assert find_recipe("vae") == Path("vae")


def test_a_short_name_belongs_to_one_data_set(two_data_sets):
    assert list(recipes()) == ["apnea/vae", "apnea/vqvae", "holter/vae"]
    assert find_recipe("vqvae") == two_data_sets / "apnea" / "vqvae.yaml"
    assert find_recipe("holter/vae") == two_data_sets / "holter" / "vae.yaml"
    with pytest.raises(FileNotFoundError, match="no recipe vae; .* apnea/vae, apnea/vqvae, holter/vae"):
        find_recipe("vae")


@pytest.mark.parametrize(("name", "nearest"), [
    ("vqvea", "vqvae"), ("VQVAE2", "vqvae2"), ("ptb-xl/vqgan", "ptbxl/vqgan"), ("recipes/ptbxl/fsq.yml", "ptbxl/fsq"),
])
def test_an_unknown_recipe_names_the_nearest(name, nearest):
    with pytest.raises(FileNotFoundError) as error:
        find_recipe(name)
    names = ", ".join(recipes())
    assert str(error.value) == f"no recipe {name}; wanted a YAML file or one of {names}; did you mean {nearest}?"


def test_nothing_is_near_to_every_name():
    with pytest.raises(FileNotFoundError, match="^no recipe transformer; wanted .*[^?]$"):
        find_recipe("transformer")


def test_every_recipe_has_a_summary(tmp_path):
    assert recipe_summary(find_recipe("ae")) == find_recipe("ae").read_text().splitlines()[0].removeprefix("# ")
    assert all(map(recipe_summary, recipes().values()))
    (tmp_path / "plain.yaml").write_text("model: {}\n# not a summary\n")
    assert recipe_summary(tmp_path / "plain.yaml") == ""


@pytest.mark.parametrize("name", datasets())
def test_every_data_set_honours_the_contract(name):
    parameters = inspect.signature(load_prepare(name)).parameters
    assert list(parameters)[:3] == ["source", "out", "rate"] and parameters["rate"].default == 100
    assert [parameter.kind for parameter in parameters.values()][-1] == inspect.Parameter.VAR_KEYWORD


def test_a_data_set_is_loaded_by_its_file():
    before = set(sys.modules)
    prepare = load_prepare("ptbxl")
    assert Path(inspect.getfile(prepare)) == datasets()["ptbxl"] / "prepare.py"
    assert not [name for name in set(sys.modules) - before if "datasets" in name or "ptbxl" in name]


def test_an_unknown_data_set_names_the_nearest():
    with pytest.raises(FileNotFoundError, match=r"^no data set ptb-xl; wanted one of .*; did you mean ptbxl\?$"):
        load_prepare("ptb-xl")


@from_source
def test_every_file_is_package_data():
    """A folder is a listed package: its modules go with it, and other files that its patterns name."""
    setuptools = tomllib.loads(PROJECT.read_text())["tool"]["setuptools"]
    assert setuptools["package-dir"] == {f"ecgvae.{name}": name for name in SHIPPED}
    packaged = set()
    for _, *folders in (name.split(".") for name in setuptools["packages"]):
        if folders and folders[0] in SHIPPED:
            patterns = setuptools["package-data"][".".join(["ecgvae", *folders])]
            packaged |= {path for pattern in ("*.py", *patterns) for path in ROOT.joinpath(*folders).glob(pattern)}
    assert {path.relative_to(ROOT).as_posix() for path in packaged} == shipped_files()


@from_source
@pytest.mark.skipif(setuptools_is_old(), reason="setuptools 77 or newer builds the wheel")
def test_the_wheel_finds_what_it_carries(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    for name in ("ecgvae", *SHIPPED):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = "import setuptools.build_meta; print(setuptools.build_meta.build_wheel('..'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True)
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        wheel.extractall(site)
    assert {path.relative_to(site / "ecgvae").as_posix() for name in SHIPPED
            for path in (site / "ecgvae" / name).rglob("*") if path.is_file()} == shipped_files()
    shutil.rmtree(source)
    code = "from ecgvae.resources import *; print(find_recipe('vqvae2'), datasets()['ptbxl'], sep='\\n')"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=site, text=True).splitlines()
    inside = site.resolve() / "ecgvae"
    assert list(map(Path, found)) == [inside / "recipes/ptbxl/vqvae2.yaml", inside / "datasets/ptbxl"]
