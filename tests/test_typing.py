"""The public interface as a type checker sees it: every name, and the types that calls return."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import ecgvae

USER_CODE = """
import ecgvae
import numpy as np

tokenizer = ecgvae.Tokenizer.load("ptbxl-vqvae-conv")
reveal_type(tokenizer)
reveal_type(tokenizer.encode(ecgvae.read_record("00001")))
reveal_type(tokenizer.encode(np.zeros((2, 12, 1000)), rate=100, leads=ecgvae.LEADS_12))
reveal_type(tokenizer.decode(tokenizer.encode(ecgvae.read_record("00001"))))
reveal_type(tokenizer.decode([np.zeros(5, int)]))
reveal_type(ecgvae.load("ptbxl-vae-conv", device="cpu"))
reveal_type(ecgvae.Store("store").signal(0))
ecgvae.nosuch
tokenizer.encode("00001")
"""
EXPECTED_TYPES = ["ecgvae.tokenizer.tokenizer.Tokenizer", "ecgvae.data.token_header.Tokens", "Any",
            "ecgvae.signal.record.Record", "ndarray", "ecgvae.models.autoencoder.Autoencoder", "ndarray"]


REPOSITORY = Path(ecgvae.__file__).parents[1]


def readme_code() -> str:
    """All Python blocks of the README, as one script."""
    blocks = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    return "import numpy as np\narray: np.ndarray\n" + "\n".join(blocks)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> list[str]:
    """Lines of mypy's output for two scripts in another folder than the package: a user's, and the README's code."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("user")
    scripts = {"script.py": USER_CODE}
    if (REPOSITORY / "README.md").exists():
        scripts["readme.py"] = readme_code()
    for name, code in scripts.items():
        (folder / name).write_text(code)
    in_repository = (REPOSITORY / "pyproject.toml").exists()
    cache = REPOSITORY / ".mypy_cache" / "user" if in_repository else "/dev/null"       # its options are other ones
    options = ["--config-file", "", "--cache-dir", str(cache), "--ignore-missing-imports", "--follow-imports", "silent",
               *(str(folder / name) for name in scripts)]
    code = f"from mypy import api; print(api.run({options!r})[0])"
    environment = {"MYPYPATH": str(REPOSITORY), "PATH": ""}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=environment).stdout.splitlines()


def test_calls_have_types(report):
    types = [line.split('Revealed type is "')[1].rstrip('"') for line in report if "Revealed type" in line]
    assert len(types) == len(EXPECTED_TYPES)
    for type_name, expected in zip(types, EXPECTED_TYPES, strict=True):
        assert expected in type_name, report


def test_mistakes_in_user_code_are_errors(report):
    errors = [line for line in report if ": error:" in line and "script.py" in line]
    assert len(errors) == 2, report
    assert 'Module has no attribute "nosuch"' in errors[0]
    assert 'No overload variant of "encode" of "Tokenizer"' in errors[1]


@pytest.mark.skipif(not (REPOSITORY / "README.md").exists(), reason="not run from the source tree")
def test_the_code_of_the_readme_has_no_type_errors(report):
    assert readme_code().count("ecgvae.") > 5
    assert not [line for line in report if ": error:" in line and "readme.py" in line]


def test_the_package_is_marked_as_typed():
    assert (Path(ecgvae.__file__).parent / "py.typed").exists()


def test_names_for_type_checkers_equal_those_at_run_time():
    """The two lists of names in ecgvae/__init__.py are equal, and so is `dir(ecgvae)`."""
    assert sorted(ecgvae.__all__) == sorted(ecgvae._MODULE_OF)
    assert {*ecgvae.__all__, "__version__"} == set(dir(ecgvae))
    source = (Path(ecgvae.__file__)).read_text().split("if not TYPE_CHECKING")[0]
    for module, names in ecgvae._MODULES.items():
        block = source.split(f"from {module} import ")[1]
        block = block[1:block.index(")")] if block.startswith("(") else block.splitlines()[0]
        assert {name.strip() for name in block.replace("\n", ",").split(",")} - {""} == set(names)
