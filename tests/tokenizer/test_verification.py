"""What is said about a record when it is tokenized: amplitudes, source leads, start time, and errors of its tokens."""

import csv
from dataclasses import replace
from datetime import datetime, time

import numpy as np
import pytest
from commands import call, mistake

from ecgvae import metrics, simulate
from ecgvae.data.token_facts import mean_errors
from ecgvae.data.tokens import open_tokens
from ecgvae.signal import LEADS_12, Record, conform, write_record
from ecgvae.signal.amplitudes import UNLIKE_TRAINING
from ecgvae.tokenizer import Tokenizer
from ecgvae.tokenizer.verification import SEEN_IN_TRAINING, verify

MODEL = "ptbxl-vqvae-conv"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(MODEL, "cpu")


@pytest.fixture(scope="module")
def ecg():
    return simulate("normal", 10, 100, 3)


def scaled(record: Record, factor: float) -> Record:
    return replace(record, signal=record.signal * factor)


@pytest.mark.parametrize("factor", [1000, 200, 1 / 1000])
def test_signals_in_another_unit_are_refused_unless_any_amplitude_is_allowed(tokenizer, ecg, factor):
    with pytest.raises(ValueError, match="^normal has a typical amplitude of .* is the signal in mV"):
        tokenizer.encode(scaled(ecg, factor))
    tokens = tokenizer.encode(scaled(ecg, factor), any_amplitude=True)
    assert any(note.startswith(UNLIKE_TRAINING) for note in tokens.notes)
    assert not tokenizer.encode(ecg).notes


def test_arrays_of_stored_integers_are_refused(tokenizer, ecg):
    microvolts = np.rint(ecg.signal * 1000).astype(np.int16)
    with pytest.raises(ValueError, match="typical amplitude"):
        tokenizer.encode(microvolts, rate=100, leads=LEADS_12)
    with pytest.raises(ValueError, match="^record 1 has a typical amplitude"):
        tokenizer.encode(np.stack([ecg.signal, ecg.signal * 1000]), rate=100, leads=LEADS_12)


def test_a_lead_that_is_off_is_noted(tokenizer, ecg):
    signal = ecg.signal.copy()
    signal[LEADS_12.index("V2")] = 80
    (flat, note) = tokenizer.encode(replace(ecg, signal=signal)).notes
    assert flat == "V2 is flat" and note == f"{UNLIKE_TRAINING}: V2 RMS 0 mV, peak 80 mV, offset 80 mV"


def test_the_command_skips_records_in_another_unit_and_says_how_to_use_them(ecg, tmp_path):
    write_record(ecg, tmp_path / "in", "right")
    write_record(scaled(ecg, 300), tmp_path / "in", "wrong")
    words = "tokenize", tmp_path / "in", "--out", tmp_path / "out.parquet", "--skipped", tmp_path / "list.csv"
    result = call(*words)
    assert "is the signal in mV?" in result.stderr and "--any-amplitude" in result.stderr
    assert result.stdout.startswith("1 of 2 records, 10 s of ECG") and "1 record skipped" in result.stdout
    result = call(*words, "--any-amplitude", "--overwrite")
    assert result.stdout.startswith("2 records, 20 s") and f"1 record with {UNLIKE_TRAINING}" in result.stderr
    with open(tmp_path / "list.csv") as file:
        assert [row["kind"] for row in csv.DictReader(file)] == ["note"]


def test_strict_ends_with_exit_code_1_and_keeps_the_result(ecg, tmp_path):
    write_record(ecg, tmp_path / "in", "right")
    write_record(scaled(ecg, 300), tmp_path / "in", "wrong")
    result = call("tokenize", tmp_path / "in", "--out", tmp_path / "out.parquet", "--strict", code=1)
    assert "1 record skipped, and --strict was given" in result.stderr
    assert [item.name for item in open_tokens(tmp_path / "out.parquet")] == ["right"]
    call("tokenize", tmp_path / "in" / "right", "--out", tmp_path / "other.parquet", "--strict")


@pytest.mark.parametrize("seconds", [10, 400])
def test_verified_errors_are_those_of_the_decoded_record(tokenizer, seconds):
    record = simulate("atrial fibrillation", seconds, 100, 5)
    tokens = tokenizer.encode(record)
    (verified,) = verify(tokenizer, [record], [tokens])
    decoded = tokenizer.decode(tokens)
    np.testing.assert_allclose(verified.prdn, metrics.prdn(record.signal, decoded.signal), rtol=1e-3)
    np.testing.assert_allclose(verified.rmse_uv, 1000 * metrics.rmse(record.signal, decoded.signal), rtol=1e-3)
    prdn, rmse = mean_errors(verified)
    assert (prdn, rmse) == (pytest.approx(np.mean(verified.prdn)), pytest.approx(np.mean(verified.rmse_uv)))


def test_errors_are_computed_at_the_rate_of_the_model_for_the_leads_that_the_record_has(tokenizer):
    record = simulate("normal", 10, 500, 1).select(("I", "II", "V5"))
    (tokens,) = tokenizer.encode_many([record], missing="zero")
    assert tokens.source_leads == ("I", "II", "V5")
    (verified,) = verify(tokenizer, [record], [tokens])
    assert [lead for lead, error in zip(LEADS_12, verified.prdn, strict=True) if error is not None] == ["I", "II", "V5"]
    target = conform(record, tokenizer.model.signal, "zero", refit=False).signal
    decoded = tokenizer.all_leads(tokenizer.decode_coded_leads(tokens.codes, tokens.samples))
    expected = metrics.prdn(target, decoded)[[0, 1, 10]]
    np.testing.assert_allclose([verified.prdn[index] for index in (0, 1, 10)], expected, rtol=1e-3)


def test_verify_of_many_records_equals_that_of_each(tokenizer):
    records = [simulate("normal", seconds, 100, seed) for seed, seconds in enumerate((3, 10, 3, 200, 10, 3))]
    tokens = tokenizer.encode_many(records)
    for record, item, verified in zip(records, tokens, verify(tokenizer, records, tokens), strict=True):
        (alone,) = verify(tokenizer, [record], [item])
        np.testing.assert_allclose(verified.prdn, alone.prdn, rtol=1e-3)


def test_the_command_writes_errors_and_lists_poor_records(ecg, tmp_path):
    write_record(ecg, tmp_path / "in", "good")
    noise = np.random.default_rng(0).standard_normal(ecg.signal.shape) * 0.2
    write_record(replace(ecg, signal=noise), tmp_path / "in", "noise")
    out = tmp_path / "out.parquet"
    result = call("tokenize", tmp_path / "in", "--out", out, "--verify")
    assert "PRDN above 30 % (1 record):\n  noise: PRDN " in result.stderr
    assert result.stdout.splitlines()[1].endswith("1 of 2 records above 30 %")
    good, poor = open_tokens(out)
    assert good.prdn and poor.prdn and np.mean(good.prdn) < 30 < np.mean(poor.prdn)
    call("tokenize", tmp_path / "in", "--out", out, "--overwrite")
    assert open_tokens(out)[0].prdn is None


def test_flat_records_have_no_errors_to_count(ecg, tmp_path):
    noise = np.random.default_rng(0).standard_normal(ecg.signal.shape) * 0.2
    for name, signal in (("flat", 0 * ecg.signal), ("good", ecg.signal), ("noise", noise)):
        write_record(replace(ecg, signal=signal), tmp_path / "in", name)
    result = call("tokenize", tmp_path / "in", "--out", tmp_path / "out.parquet", "--verify")
    assert result.stdout.startswith("3 records, ")
    assert result.stdout.splitlines()[1].endswith("1 of 2 records above 30 %; 1 flat")


@pytest.mark.parametrize("offset", [3, -3])
def test_offsets_of_leads_are_noted(tokenizer, ecg, offset):
    chest = np.array([[lead.startswith("V")] for lead in LEADS_12])
    (note,) = tokenizer.encode(replace(ecg, signal=ecg.signal + offset * chest)).notes
    assert note.startswith(f"{UNLIKE_TRAINING}: V1 ") and note.endswith("; 3 more")
    assert note.count(f"offset {offset}") + note.count(f"offset {offset - 0.1:.1f}") >= 1
    assert tokenizer.encode(replace(ecg, signal=ecg.signal + 0.5 * chest)).notes == ()


@pytest.mark.parametrize("start", [datetime(2021, 12, 31, 23, 59, 59, 500_000), time(1, 2, 3)])
def test_start_time_and_comments_are_kept_unless_comments_are_left_out(ecg, tmp_path, start):
    write_record(replace(ecg, comments=("Age: 61",), start_time=start), tmp_path / "in", "a")
    out = tmp_path / "out.parquet"
    call("tokenize", tmp_path / "in", "--out", out)
    assert (open_tokens(out)[0].start_time, open_tokens(out)[0].comments) == (start, ("Age: 61",))
    call("tokenize", tmp_path / "in", "--out", out, "--no-comments", "--overwrite")
    assert (open_tokens(out)[0].start_time, open_tokens(out)[0].comments) == (start, ())
    assert b"Age" not in out.read_bytes()


def test_the_list_of_skipped_records_is_another_file_than_the_output(ecg, tmp_path):
    write_record(ecg, tmp_path / "in", "a")
    line = mistake("tokenize", tmp_path / "in", "--out", tmp_path / "t", "--skipped", tmp_path / "x" / ".." / "t")
    assert "is also the output" in line and not (tmp_path / "t").exists()
    (tmp_path / "file").write_text("")
    line = mistake("tokenize", tmp_path / "in", "--out", tmp_path / "t", "--skipped", tmp_path / "file" / "list.csv")
    assert "file" in line and not (tmp_path / "t").exists()


def test_names_that_detokenize_changes_are_noted(ecg, tmp_path):
    write_record(ecg, tmp_path / "in", "a")
    (tmp_path / "in" / "a.hea").rename(tmp_path / "in" / "é b.hea")
    result = call("tokenize", tmp_path / "in", "--out", tmp_path / "out.parquet")
    assert "é b: WFDB does not allow the name; detokenize writes e_b" in result.stderr


def test_counts_on_real_records(data, tmp_path):
    """Of 120 recordings by laymen, about a quarter has amplitudes unlike PTB-XL's; of fold 10 none."""
    import pandas

    table = pandas.read_csv(data / "ptb-xl-subset" / "ptbxl_database.csv")
    paths = [data / "ptb-xl-subset" / name for name in table[table.strat_fold == 10].filename_lr]
    result = call("tokenize", *paths, "--out", tmp_path / "ptbxl.parquet")
    assert UNLIKE_TRAINING not in result.stderr and "138 records" in result.stdout
    paths = [data / "ptb-xl-subset" / name for name in table[table.strat_fold.isin([8, 9])].filename_lr[:40]]
    training = sum(table[table.strat_fold.isin([8, 9])].strat_fold[:40] == 8)
    result = call("tokenize", *paths, "--out", tmp_path / "both.parquet", "--verify")
    assert f"; {training} of 40 records {SEEN_IN_TRAINING}" in result.stdout
    result = call("tokenize", data / "cinc2011-120", "--out", tmp_path / "cinc.parquet")
    assert f"29 records with {UNLIKE_TRAINING}" in result.stderr
