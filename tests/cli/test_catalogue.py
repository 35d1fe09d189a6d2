"""The commands recipes and models."""

import json
import subprocess
import sys

import pytest
import yaml
from commands import call, mistake

from ecgvae import checkpoint, resources


def test_recipes_are_listed_with_their_summaries():
    rows = json.loads(call("recipes", "--json").stdout)
    assert {row["name"]: row["path"] for row in rows} == {name: str(path) for name, path in resources.recipes().items()}
    table = call("recipes").stdout
    assert all(row["name"] in table and row["summary"][:40] in table for row in rows)


def test_a_recipe_is_printed_as_it_is():
    path = resources.find_recipe("vqvae2")
    assert call("recipes", "vqvae2").stdout == path.read_text() == call("recipes", "ptbxl/vqvae2").stdout
    shown = json.loads(call("recipes", "vqvae2", "--json").stdout)
    assert shown["recipe"] == yaml.safe_load(path.read_text()) and shown["path"] == str(path)
    assert "no recipe vqvea; wanted a YAML file or one of ptbxl/ae" in mistake("recipes", "vqvea")


def test_models_lists_what_is_shipped():
    shown = json.loads(call("models", "--json").stdout)
    assert [row["name"] for row in shown["shipped"]] == checkpoint.pretrained() and "families" not in shown
    table = call("models").stdout
    assert all(name in table for name in checkpoint.pretrained()) and "MFLOP" not in table


def test_sizes_add_every_family_in_every_size():
    shown = json.loads(call("models", "--sizes", "--json").stdout)
    assert shown["shipped"] and {"family", "backbone", "parameters", "mflop_per_second"} == shown["families"][0].keys()
    table = call("models", "--sizes").stdout
    assert "MFLOP" in table and "transformer-base" in table


@pytest.mark.parametrize("words", [("models",), ("info", "ptbxl-vqvae2-conv"), ("info", "ptbxl-vae-transformer")])
def test_shipped_models_are_described_without_torch(words):
    code = ("import sys; from typer.testing import CliRunner; from ecgvae.cli import app\n"
            f"assert CliRunner().invoke(app, {list(words)!r}).exit_code == 0\n"
            "print(*{'torch', 'pandas', 'pyarrow', 'matplotlib', 'scipy'} & {*sys.modules})")
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "\n"
