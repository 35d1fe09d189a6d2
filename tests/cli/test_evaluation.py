"""The command evaluate."""

import json

import pytest
from commands import call

from ecgvae.cli import evaluation


def test_evaluate_writes_what_it_prints(store, model, tmp_path):
    out = tmp_path / "report.json"
    printed = call("evaluate", model, store, "--split", "all", "--json", "--out", out).stdout
    report = json.loads(printed)
    assert json.loads(out.read_text()) == report and [row["codebooks"] for row in report["rows"]] == [1, 2, 3]
    table = call("evaluate", model, store, "--split", "all").stdout
    assert "PRDN %" in table and f"{report['rows'][1]['prdn']['mean']:.2f}" in table


def test_the_report_is_written_even_if_nobody_reads_what_is_printed(store, model, tmp_path, monkeypatch):
    def closed_pipe(*_):
        raise BrokenPipeError

    monkeypatch.setattr(evaluation, "show_report", closed_pipe)
    out = tmp_path / "report.json"
    with pytest.raises(BrokenPipeError):
        evaluation.evaluate(str(model), store, split="all", out=out, device="cpu", batch_size=4)
    assert json.loads(out.read_text())["records"] == 3
