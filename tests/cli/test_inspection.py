"""The commands info and plot."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import call

from ecgvae import checkpoint
from ecgvae.data.tokens import Tokens, open_tokens, write_tokens
from ecgvae.signal import LEADS_12
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


def test_invented_leads_are_marked(model, tokens, tmp_path):
    file = open_tokens(tokens)
    rows = [replace(tokens, source_leads=("II", "V5")) for tokens in file]
    path = write_tokens(tmp_path / "two.parquet", file.header, rows)
    for leads, names in (("", set()), ("--all-leads", {"(invented)"})):
        call("detokenize", path, "--out", tmp_path / "decoded", "--model", model, "--overwrite", *leads.split())
        call("plot", tmp_path / "decoded/a", "--out", tmp_path / "record.svg", "--overwrite")
        assert {"(invented)"} & set((tmp_path / "record.svg").read_text().split()) == names
        assert json.loads(call("info", tmp_path / "decoded/a", "--json").stdout).get("invented_leads", []) == (
            [lead for lead in LEADS_12 if lead not in ("II", "V5")] if leads else [])
    call("plot", path, "--out", tmp_path / "tokens.svg", "--model", model)
    assert "V2 (invented)" in (tmp_path / "tokens.svg").read_text()


def test_a_plot_of_a_long_record_of_tokens_tells_its_length(model, tokens, tmp_path):
    file = open_tokens(tokens)
    codes = tuple(np.zeros(spec.length(100_000), np.int64) for spec in file.header.codebooks)
    path = write_tokens(tmp_path / "long.parquet", file.header, [Tokens(codes, 100_000, "long", 100, 100_000)])
    call("plot", path, "--out", tmp_path / "tokens.svg", "--model", model)
    assert "long · first 10 s of 1000.0 s" in (tmp_path / "tokens.svg").read_text()
