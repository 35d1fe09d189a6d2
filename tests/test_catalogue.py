"""What models there are, and what they cost."""

import json

import pytest
from commands import call

from ecgvae import catalogue, checkpoint
from ecgvae.models import FAMILIES, parse_settings
from ecgvae.models.backbone import SIZES


def test_the_cost_of_a_small_autoencoder_is_what_one_counts_by_hand():
    half = {"widths": (32,), "dilations": ((),)}
    settings = parse_settings({"family": "ae", "latent": 8, "signal": {"leads": ("II",), "rate": 100},
                            "backbone": {"kind": "conv", "strides": (4,), "encoder": half, "decoder": half}})
    encoder, latent, decoder = 3 * 4 * 32 + 32 * 8, 8 * 8 + 8 * 8, 3 * 8 * 32 + 3 * 32 * 4
    biases = 32 + 8 + 8 + 8 + 32 + 4
    facts = catalogue.cost(settings)
    assert facts["parameters"] == encoder + latent + decoder + biases
    assert facts["mflop_per_second"] == pytest.approx(2 * (encoder + latent + decoder) * 100 / 4 / 1e6)


def test_every_family_is_there_in_every_size():
    rows = catalogue.families()
    assert {(row["family"], row["backbone"]) for row in rows} == {(f, size) for f in FAMILIES for size in SIZES}
    cost = {(row["family"], row["backbone"]): (row["parameters"], row["mflop_per_second"]) for row in rows}
    for family in FAMILIES:
        for kind in ("conv", "transformer"):
            tiny, small, base = (cost[family, f"{kind}-{size}"] for size in ("tiny", "small", "base"))
            assert tiny[0] < small[0] < base[0] and tiny[1] < small[1] < base[1]


def test_the_command_tells_of_what_is_shipped():
    shown = json.loads(call("models", "--json").stdout)
    assert [row["name"] for row in shown["shipped"]] == checkpoint.pretrained()
    table = call("models").stdout
    assert all(name in table for name in checkpoint.pretrained()) and "MFLOP" in table
