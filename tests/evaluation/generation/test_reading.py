"""Samples from WFDB records, stores and token files."""

import numpy as np
import pytest

from ecgvae import simulate, write_record
from ecgvae.data.tokens import open_tokens
from ecgvae.evaluation.generation import reading
from ecgvae.evaluation.generation.origin import decoder_of, find_tokenizer
from ecgvae.evaluation.generation.reading import read_samples
from ecgvae.evaluation.probe import CLASSES
from ecgvae.signal import LEADS_12, Record, SignalSpec, conform
from ecgvae.tokenizer import Tokenizer


@pytest.fixture
def folder(tmp_path):
    """Records of 4 s at 100 Hz, except one at 200 Hz, one of 2 s, one of 6 s and one without V6."""
    random = np.random.default_rng(0)
    lengths, rates = {"short": 200, "long": 600, "fast": 800}, {"fast": 200}
    comments = {"a": ("ecgvae: condition: superclass MI, CD; age 60; sex female",),
                "b": ("ecgvae: condition: statements AFIB",)}
    for name in ("a", "b", "c", "short", "long", "fast", "lacking"):
        leads = LEADS_12[:-1] if name == "lacking" else LEADS_12
        signal = random.normal(0, 0.2, (len(leads), lengths.get(name, 400)))
        write_record(Record(signal, rates.get(name, 100), leads, name, comments.get(name, ())), tmp_path / "new")
    return tmp_path / "new"


def test_records_are_brought_to_one_contract(folder):
    done = []
    samples = read_samples(folder, ("V2", "I"), 50, progress=lambda count, total: done.append((count, total)))
    assert samples.groups.tolist() == ["a", "b", "c", "fast", "lacking", "long"]
    assert samples.signals.shape == (6, 2, 200)
    assert samples.left_out == (("short", "2 s long; wanted 4 s"),) and done == [(i, 7) for i in range(1, 8)]
    assert ("fast", "resampled from 200 Hz to 50 Hz") in samples.notes
    record = simulate("normal", seconds=4, rate=100)
    write_record(record, folder, "a", overwrite=True)
    expected = conform(record, SignalSpec(leads=("V2", "I"), rate=50), refit=False).signal
    np.testing.assert_allclose(read_samples(folder / "a", ("V2", "I"), 50).signals[0], expected, atol=0.003)


def test_labels_are_those_of_the_condition(folder):
    samples = read_samples(folder, LEADS_12, 100)
    assert samples.left_out[0][0] == "lacking" and "wanted I, II" in samples.left_out[0][1]
    assert samples.labels.tolist() == [[name in ("MI", "CD") for name in CLASSES]] + [[False] * 5] * 4
    assert read_samples(folder / "c", LEADS_12, 100).labels is None


def test_labels_of_a_store(ecg_store):
    samples = read_samples(ecg_store.path, ecg_store.leads, ecg_store.rate, seconds=3)
    assert samples.signals.shape == (205, 3, 150)
    assert samples.labels.sum(0).tolist() == [sum(name in row for row in ecg_store.records["superclass"])
                                              for name in CLASSES]


def test_records_that_cannot_be_read_are_left_out(folder, monkeypatch):
    (folder / "b.dat").write_bytes(b"1")
    samples = read_samples(folder, LEADS_12, 100)
    assert "b" in dict(samples.left_out) and "b" not in samples.groups
    monkeypatch.setattr(reading, "MAX_RECORDS", 3)
    assert len(read_samples(folder, LEADS_12, 100)) == 2
    with pytest.raises(ValueError, match="has no usable samples: lacking: "):
        read_samples(folder / "lacking", LEADS_12, 100)
    with pytest.raises(FileNotFoundError):
        read_samples(folder / "nothing", LEADS_12, 100)


def test_token_files_are_decoded(tokens, model):
    tokenizer, file = Tokenizer.load(model), open_tokens(tokens)
    samples = read_samples(tokens, LEADS_12, 100, tokenizer=tokenizer)
    assert samples.groups.tolist() == ["a", "b", "ward/c"] and samples.signals.shape == (3, 12, 401)
    expected = conform(tokenizer.decode(file[0]), SignalSpec(), refit=False).signal
    np.testing.assert_array_equal(samples.signals[0], expected)


def test_the_tokenizer_that_samples_name(tmp_path):
    tokenizer = Tokenizer.load("ptbxl-vqvae-conv", "cpu")
    decoded = tokenizer.decode(tokenizer.encode(simulate("normal", seconds=2), codebooks=3))
    write_record(decoded, tmp_path / "new", "a")
    for found in (find_tokenizer(tmp_path / "new"), decoder_of(decoded.comments)):
        assert found is not None and found[0].identity == tokenizer.identity and found[1] == 3
    comment = next(line for line in decoded.comments if "decoded by" in line)
    assert decoder_of([comment.replace("ptbxl-vqvae-conv", "nothing")]) is None
    assert decoder_of([comment.replace(tokenizer.identity, "0123")]) is None
    assert decoder_of(["decoded by nobody", "ecgvae: decoded by"]) is None
    write_record(simulate("normal", seconds=2), tmp_path / "other", "a")
    assert find_tokenizer(tmp_path / "other") is None
