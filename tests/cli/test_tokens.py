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


def test_records_without_the_leads_of_the_model_are_skipped_with_advice(write_raw_record, model, tmp_path):
    write_raw_record(tmp_path, "two",
                     "two 2 100 400\ntwo.dat 16 200/mV 16 0 0 0 0 II\ntwo.dat 16 200/mV 16 0 0 0 0 V1\n",
          [[0, 0]] * 400)
    words = ("tokenize", tmp_path / "two", "--out", tmp_path / "out", "--model", model)
    result = call(*words, code=2)
    assert "skipped (1 record):" in result.stderr
    assert "(--missing-leads zero sets the leads that a record lacks to 0 mV)" in result.stderr
    assert "none of 1 records can be used" in mistake(*words)
    call(*words, "--missing-leads", "zero")


def test_a_lead_map_names_the_leads_of_channels(write_raw_record, model, tmp_path):
    for name, leads in (("mapped", ("E1", "E2")), ("named", ("V1", "II"))):
        channels = "".join(f"{name}.dat 16 200/mV 16 0 0 0 0 {lead}\n" for lead in leads)
        write_raw_record(tmp_path, name, f"{name} 2 100 400\n{channels}",
                         [[index % 50, index % 70] for index in range(400)])
    options = ("--model", model, "--missing-leads", "zero", "--out")
    call("tokenize", tmp_path / "named", *options, tmp_path / "named.parquet")
    call("tokenize", tmp_path / "mapped", *options, tmp_path / "mapped.parquet", "--lead-map", "E1=V1,E2=II")
    named, mapped = (open_tokens(tmp_path / f"{name}.parquet")[0].codes for name in ("named", "mapped"))
    assert all((one == other).all() for one, other in zip(named, mapped, strict=True))
    assert "no record has a channel E9" in mistake(
        "tokenize", tmp_path / "mapped", *options, tmp_path / "x", "--lead-map", "E9=V1")
