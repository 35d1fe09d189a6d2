"""The commands info and plot."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from commands import call
from stores import write_wfdb

from ecgvae import checkpoint
from ecgvae.data.tokens import Tokens, open_tokens, write_tokens
from ecgvae.signal import LEADS_12, Record, write_record
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


def test_info_of_tokens_counts_what_happened_to_the_records(model, records, tmp_path):
    facts = json.loads(call("info", tokenized(records, model, tmp_path / "a.parquet"), "--json").stdout)
    assert facts["resampled"] == {"200 Hz": 3} and facts["records_with_notes"] == 3
    assert "verified" not in facts and "records_with_missing_leads" not in facts
    write_wfdb(tmp_path / "in" / "x", np.random.default_rng(0).integers(-900, 900, (900, 2)), ("II", "V5"), rate=100)
    path = tokenized(tmp_path / "in", model, tmp_path / "b.parquet", "--missing-leads", "zero", "--verify")
    facts = json.loads(call("info", path, "--json").stdout)
    assert facts["records_with_missing_leads"] == 1 and "resampled" not in facts
    (tokens,) = open_tokens(path)
    assert facts["verified"]["records"] == 1
    assert facts["verified"]["prdn"]["mean"] == pytest.approx(np.mean([v for v in tokens.prdn if v is not None]))
    assert "verified" in call("info", path).stdout


def tokenized(source, model, out, *options):
    call("tokenize", source, "--model", model, "--out", out, *options)
    return out


def test_info_of_a_model_tells_its_training_data(model):
    facts = json.loads(call("info", "ptbxl-vqvae-conv", "--json").stdout)
    assert facts["known_training_segments"] == 4020
    low, middle, high = facts["amplitudes_1_50_99_percent"]["rms_mv"]
    assert 0.01 < low < middle < high < 1
    assert json.loads(call("info", model, "--json").stdout)["known_training_segments"] is None


def test_info_of_a_record_tells_its_start_and_its_invented_leads(tmp_path):
    record = Record(np.zeros((2, 100), np.float32), 100, ("II", "V5"), "x", start_time=datetime(2020, 2, 3, 4, 5, 6),
                    invented_leads=("V5",))
    write_record(record, tmp_path, "x")
    facts = json.loads(call("info", tmp_path / "x", "--json").stdout)
    assert facts["start_time"] == "04:05:06 03/02/2020" and facts["invented_leads"] == ["V5"]


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
