"""The commands tokenize and detokenize."""

from commands import call, mistake

from ecgvae.data.tokens import open_tokens
from ecgvae.signal import find_records


def test_records_to_tokens_and_back(records, model, tmp_path):
    out, decoded = tmp_path / "tokens.parquet", tmp_path / "decoded"
    assert call("tokenize", records, "--out", out, "--model", model, "--codebooks", "2").stdout == (
        f"3 records, 12 s of ECG at 166.667 bit/s, in {out}\n")
    assert len(open_tokens(out).header.codebooks) == 2
    assert call("detokenize", out, "--out", decoded, "--model", model).stdout == (
        f"3 records, 12 s of ECG, in {decoded}\n")
    assert [path.relative_to(decoded) for path in find_records(decoded)] == [
        path.relative_to(records) for path in find_records(records)]


def test_records_without_the_leads_of_the_model_are_skipped_with_advice(write, model, tmp_path):
    write(tmp_path, "two", "two 2 100 400\ntwo.dat 16 200/mV 16 0 0 0 0 II\ntwo.dat 16 200/mV 16 0 0 0 0 V1\n",
          [[0, 0]] * 400)
    words = ("tokenize", tmp_path / "two", "--out", tmp_path / "out", "--model", model)
    result = call(*words, code=2)
    assert "skipped (1):" in result.stderr and "(with --missing-leads zero, leads that a record lacks" in result.stderr
    assert "none of 1 records can be used" in mistake(*words)
    call(*words, "--missing-leads", "zero")
