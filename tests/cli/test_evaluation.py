"""The command evaluate."""

import json

from commands import call


def test_evaluate_writes_what_it_prints(store, model, tmp_path):
    out = tmp_path / "report.json"
    printed = call("evaluate", model, store, "--split", "all", "--json", "--out", out).stdout
    report = json.loads(printed)
    assert json.loads(out.read_text()) == report and [row["codebooks"] for row in report["rows"]] == [1, 2, 3]
    table = call("evaluate", model, store, "--split", "all").stdout
    assert "PRDN %" in table and f"{report['rows'][1]['prdn']['mean']:.2f}" in table
