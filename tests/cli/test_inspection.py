"""The commands info and plot."""

import json

import pytest
from commands import call

from ecgvae import checkpoint
from ecgvae.tokenizer import Tokenizer


def test_info_tells_kinds_apart(records, store, model, tokens):
    items = {"model": model, "tokens": tokens, "store": store, "record": records / "a"}
    facts = {kind: json.loads(call("info", item, "--json").stdout) for kind, item in items.items()}
    assert all(fact["kind"] == kind for kind, fact in facts.items())
    assert facts["model"]["identity"] == facts["tokens"]["identity"] == Tokenizer.load(model).identity
    assert facts["model"]["parameters"] == sum(p.numel() for p in checkpoint.load(model).parameters())
    assert facts["tokens"]["records"] == facts["store"]["records"] == 3
    assert facts["model"]["bits_per_second"] == pytest.approx(250)       # three codes of 5 bits every 60 ms
    assert facts["model"]["codebooks"] == ["3 of 32 codes, one every 60 ms"] == facts["tokens"]["codebooks"]
    assert (facts["record"]["samples"], facts["record"]["rate"]) == (802, 200)
    assert "condition: normal" in call("info", records / "a").stdout


def test_plots(records, model, tokens, tmp_path):
    out = tmp_path / "record.png"
    assert call("plot", records / "a", "--out", out, "--model", model).stdout == f"{out}\n"
    call("plot", tokens, "--out", tmp_path / "tokens.svg", "--model", model, "--record", "ward/c")
    assert out.read_bytes().startswith(b"\x89PNG") and "ward/c" in (tmp_path / "tokens.svg").read_text()
