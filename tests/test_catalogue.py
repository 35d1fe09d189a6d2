"""The models that come with ecgvae, and what every family costs."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from ecgvae import catalogue, checkpoint, inspection
from ecgvae.models import FAMILIES, parse_settings
from ecgvae.models.backbone import SIZES


def test_the_cost_of_a_small_autoencoder_is_what_one_counts_by_hand():
    half = {"widths": (32,), "dilations": ((),)}
    settings = parse_settings({"family": "ae", "latent": 8, "signal": {"leads": ("II",), "rate": 100},
                               "backbone": {"kind": "conv", "strides": (4,), "encoder": half, "decoder": half}})
    encoder, latent, decoder = 3 * 4 * 32 + 32 * 8, 8 * 8 + 8 * 8, 3 * 8 * 32 + 3 * 32 * 4
    biases = 32 + 8 + 8 + 8 + 32 + 4
    cost = catalogue.cost(settings)
    assert cost["parameters"] == encoder + latent + decoder + biases
    assert cost["mflop_per_second"] == pytest.approx(2 * (encoder + latent + decoder) * 100 / 4 / 1e6)


def test_every_family_is_there_in_every_size():
    rows = catalogue.model_sizes()
    assert {(row["family"], row["backbone"]) for row in rows} == {(f, size) for f in FAMILIES for size in SIZES}
    cost = {(row["family"], row["backbone"]): (row["parameters"], row["mflop_per_second"]) for row in rows}
    for family in FAMILIES:
        for kind in ("conv", "transformer"):
            tiny, small, base = (cost[family, f"{kind}-{size}"] for size in ("tiny", "small", "base"))
            assert tiny[0] < small[0] < base[0] and tiny[1] < small[1] < base[1]


@pytest.fixture
def with_facts(model, tmp_path):
    """A model whose config.json has its facts, and whose weights are another model's."""
    folder = tmp_path / "shipped" / "small"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"identity": "0123456789abcdef",
               "facts": {"parameters": 12345, "hop": 6, "latent": 8, "codebooks": [{"hop": 6, "size": 32}] * 3}}
    (folder / "config.json").write_text(json.dumps(config))
    with open(folder / "model.safetensors", "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(bytes(1000))
    return folder


def test_facts_are_read_from_the_config_without_torch(with_facts):
    code = ("import json, sys; from pathlib import Path; from ecgvae import catalogue, checkpoint\n"
            "checkpoint.folders.PRETRAINED = Path(sys.argv[1])\n"
            "print(json.dumps([catalogue.shipped_models(), 'torch' in sys.modules]))")
    command = [sys.executable, "-c", code, str(with_facts.parent)]
    [row], torch_is_loaded = json.loads(subprocess.check_output(command, text=True))
    megabytes = (with_facts / "model.safetensors").stat().st_size / 1e6
    assert row == {"name": "small", "family": "vqvae", "parameters": 12345, "megabytes": megabytes, "codebooks": 3,
                   "bits_per_second": pytest.approx(250), "backbone": "conv", "path": str(with_facts)}
    assert not torch_is_loaded


def test_damaged_facts_are_named(with_facts):
    config = json.loads((with_facts / "config.json").read_text())
    for facts in ({}, {**config["facts"], "hop": None}, {**config["facts"], "codebooks": [{"hop": 0, "size": 2}]}, 3):
        (with_facts / "config.json").write_text(json.dumps(config | {"facts": facts}))
        with pytest.raises(ValueError, match="config.json is damaged: facts"):
            inspection.describe_model(with_facts)


def test_facts_of_a_checkpoint_without_them_come_from_its_weights(model, tmp_path):
    module = checkpoint.load(model)
    folder = shutil.copytree(model, tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    for key in ("facts", "identity"):
        config.pop(key, None)
    (folder / "config.json").write_text(json.dumps(config))
    facts = inspection.model_facts(folder)
    assert facts["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert (facts["hop"], facts["latent"], tuple(facts["codebooks"])) == (6, 8, tuple(module.codebook_specs))
    assert facts["identity"] == checkpoint.identity(folder)
