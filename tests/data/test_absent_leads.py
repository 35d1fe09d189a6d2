"""Leads that a record lacked are 0 mV in a store, and change neither its other leads' codes nor their errors."""

import numpy as np
import pytest
from commands import call, mistake
from stores import write_wfdb

from ecgvae.batch import tokenize_files
from ecgvae.data.collection import Collection
from ecgvae.data.dataset import Windows
from ecgvae.data.fingerprints import TrainingRecords, fingerprints
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.data.tokens import open_tokens
from ecgvae.data.training_data import conformed_blocks, measure_training_data
from ecgvae.evaluation.provenance import count_seen
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.signal import INDEPENDENT_8, LEADS_12, SignalSpec, conform, read_record
from ecgvae.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The source of two records, of which b has only II and V5, and their store."""
    folder, random = tmp_path_factory.mktemp("absent"), np.random.default_rng(0)
    write_wfdb(folder / "in" / "a", random.integers(-900, 900, (600, 12)))
    write_wfdb(folder / "in" / "b", random.integers(-900, 900, (600, 2)), ("II", "V5"))
    return folder / "in", build_store(folder / "in", folder / "store", missing="zero", workers=1)


def test_the_store_knows_them(pair):
    _, store = pair
    assert store.absent_leads(0) == ()
    assert set(store.absent_leads(1)) == {"I", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V6"}


def test_windows_have_the_leads_that_a_record_had(pair):
    source, store = pair
    windows = Windows(store, np.array([1]), 600, INDEPENDENT_8)
    expected = conform(read_record(source / "b"), SignalSpec(), "zero").signal
    np.testing.assert_allclose(windows.signals.numpy() / 1000, expected, atol=0.0006)
    assert np.abs(expected[1]).max() > 0.5


def test_tokens_from_the_store_are_those_of_the_records(pair, model, tmp_path):
    source, store = pair
    tokenizer = Tokenizer.load(model)
    files = [tokenize_files([path], tmp_path / f"{name}.parquet", tokenizer, missing="zero").out
             for name, path in (("source", source), ("store", store.path))]
    for one, other in zip(*map(open_tokens, files), strict=True):
        for codes, other_codes in zip(one.codes, other.codes, strict=True):
            np.testing.assert_array_equal(codes, other_codes)
    entry = Collection([store.path]).entries[1]
    record = Collection([store.path]).open(entry)
    np.testing.assert_array_equal(record.select(["II", "V5"]).signal, store.record(1).select(["II", "V5"]).signal)
    np.testing.assert_allclose(record.select(["aVF"]).signal, record.select(["II"]).signal, rtol=1e-6)


def test_they_have_no_errors(pair, model, monkeypatch):
    source, store = pair
    tokenizer = Tokenizer.load(model)
    record = read_record(source / "b")
    decoded = tokenizer.decode(tokenizer.encode(record, missing="zero")).select(record.leads)
    expected = 100 * np.linalg.norm(record.signal - decoded.signal, axis=1) / np.linalg.norm(
        record.signal - record.signal.mean(1, keepdims=True), axis=1)
    monkeypatch.setattr(Store, "split", lambda self, name: np.array([1]))
    report = evaluate(model, store, "all")
    assert report["records_with_missing_leads"] == 1 and report["missing_leads"]["V1"] == 1
    assert report["rows"][-1]["prdn"]["mean"] == pytest.approx(expected.mean(), rel=1e-3)


def test_the_fingerprint_in_training_is_that_of_the_record(pair):
    source, store = pair
    trained_on = measure_training_data(store, [1], SignalSpec()).fingerprints
    expected = fingerprints(conformed_blocks(read_record(source / "b"), SignalSpec()), 100)
    assert np.unpackbits(trained_on ^ expected).sum() <= 4      # of 256 a segment; the store's samples are rounded
    assert count_seen(TrainingRecords(trained_on), store, np.array([0, 1]), SignalSpec()) == 1


def test_a_store_of_the_coded_leads_has_the_errors_of_one_of_all_leads(model, tmp_path):
    """Source records have eight leads; the other store has four more, which are derived from these."""
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        write_wfdb(tmp_path / "in" / name, random.integers(-400, 400, (600, 8)) * 2, INDEPENDENT_8)
    reports = [evaluate(model, build_store(tmp_path / "in", tmp_path / name, leads=leads, workers=1), "all")
               for name, leads in (("eight", INDEPENDENT_8), ("twelve", LEADS_12))]
    assert [report["derived_leads"] for report in reports] == [["III", "aVR", "aVL", "aVF"], []]
    assert [report["records_with_missing_leads"] for report in reports] == [0, 0]
    for eight, twelve in zip(*(report["rows"] for report in reports), strict=True):
        assert eight["prdn"]["mean"] == pytest.approx(twelve["prdn"]["mean"], rel=1e-4)
        assert eight["spectrum_db"] == pytest.approx(twelve["spectrum_db"], rel=1e-3)
    printed = call("evaluate", model, tmp_path / "eight", "--split", "all").stdout
    assert "the store has no III, aVR, aVL, aVF: they are derived from others" in printed


def test_a_store_without_a_coded_lead_is_named(model, tmp_path):
    write_wfdb(tmp_path / "in" / "a", np.random.default_rng(0).integers(-400, 400, (600, 12)))
    store = build_store(tmp_path / "in", tmp_path / "store", leads=("I", "II", "V1"), workers=1)
    line = mistake("evaluate", model, store.path, "--split", "all")
    assert line == (f"ecgvae: {store.path} has leads I, II, V1; the model wants I, II, V1, V2, V3, V4, V5, V6: "
                    "V2, V3, V4, V5, V6 can't be derived")
