"""The command demo."""

import json
from functools import partial

import numpy as np
import pytest
from commands import call

from ecgvae import demo
from ecgvae.data.tokens import open_tokens
from ecgvae.signal import read_record


def test_demo(model, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "write_demo_records", partial(demo.write_demo_records, count=2))
    out = tmp_path / "demo"
    rows = json.loads(call("demo", out, "--model", model, "--json").stdout)
    assert len(rows) == 3 and rows[-1]["record"] == "all"
    original, decoded = (read_record(out / folder / rows[0]["record"]).signal for folder in ("records", "decoded"))
    centred = original - original.mean(axis=1, keepdims=True)
    prdn = 100 * np.linalg.norm(original - decoded, axis=1) / np.linalg.norm(centred, axis=1)
    assert rows[0]["prdn"] == pytest.approx(prdn.mean(), rel=1e-4)
    assert len(open_tokens(out / "tokens.parquet")) == 2 and (out / "comparison.png").stat().st_size > 10_000
    assert "RMSE µV" in call("demo", out, "--model", model, "--overwrite").stdout
