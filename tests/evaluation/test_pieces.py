"""Long records in pieces: the same errors, codes and features as in one piece, whatever the rates, and flat memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import write_store

from ecgvae import checkpoint
from ecgvae.evaluation import pieces
from ecgvae.evaluation.batches import batches, in_background, reconstruct_record
from ecgvae.evaluation.denoising import denoising
from ecgvae.evaluation.pieces import split_pieces
from ecgvae.evaluation.probe import pooled_features
from ecgvae.evaluation.reconstruction import evaluate
from ecgvae.models import build, parse_settings
from ecgvae.signal import conform
from ecgvae.tokenizer import Tokenizer

LEADS = ("I", "II", "III")
FAMILIES = {"vqvae": {}, "vqvae2": {}, "ae": {"span": 5}, "cvae": {"condition": {"leads": ("II",)}}}


def write_long(folder, rate, lengths=(900, 900, 2750)):
    """A store of random walks of different lengths that keep Einthoven's law."""
    random = np.random.default_rng(0)
    store = write_store(folder, np.zeros((len(lengths), 3, max(lengths))), LEADS, rate)
    coded = random.normal(size=(2, sum(lengths))).cumsum(-1)
    coded -= np.linspace(coded[:, 0], coded[:, -1], coded.shape[1]).T
    signals = np.rint(20 * np.concatenate([coded, coded[1:] - coded[:1]])).astype(np.int16).T
    store.__dict__["signals"] = signals
    ends = np.cumsum(lengths)
    store.__dict__["spans"] = np.stack([ends - lengths, lengths], axis=1)
    return store


@pytest.fixture
def make_model(tiny_settings, random_model, tmp_path):
    def make(family):
        settings = tiny_settings(family, signal={"leads": LEADS}, **FAMILIES[family])
        return checkpoint.save(random_model(settings), tmp_path / family)
    return make


def close(one, other):
    for name in ("prdn", "rmse_uv", "snr_db", "correlation"):
        for key in ("mean", "median", "p95"):
            assert one[name][key] == pytest.approx(other[name][key], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("rate", [100, 250])
@pytest.mark.parametrize("family", FAMILIES)
def test_errors_and_codes_in_pieces_are_those_of_whole_records(family, rate, make_model, tmp_path, monkeypatch):
    path, store = make_model(family), write_long(tmp_path / "store", rate)
    whole = evaluate(path, store, "all")
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 240)
    calls = []
    in_pieces = evaluate(path, store, "all", progress=lambda done, total: calls.append(done))
    assert len(split_pieces(2750, rate, checkpoint.load(path))) > 3
    assert calls[-1] == 3 and calls == sorted(calls)
    assert in_pieces["codebooks"] == whole["codebooks"]
    for one, other in zip(in_pieces["rows"], whole["rows"], strict=True):
        close(one, other)
        assert one["spectrum_db"] == pytest.approx(other["spectrum_db"], rel=0.05)     # windows begin anew


def test_a_record_in_pieces_is_reconstructed_as_the_tokenizer_decodes_it(make_model, tmp_path, monkeypatch):
    path, store = make_model("vqvae2"), write_long(tmp_path / "store", 128)
    tokenizer, record = Tokenizer.load(path, "cpu"), store.record(2)
    expected = tokenizer.decode(tokenizer.encode(record)).signal
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 200)
    np.testing.assert_allclose(reconstruct_record(tokenizer.model, record).signal, expected, atol=0.005)


def test_features_in_pieces_are_those_of_whole_records(make_model, tmp_path, monkeypatch):
    model, store = checkpoint.load(make_model("vqvae")), write_long(tmp_path / "store", 100)
    whole = pooled_features(model, store, np.arange(3))
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 240)
    np.testing.assert_allclose(pooled_features(model, store, np.arange(3)), whole, rtol=1e-5, atol=1e-6)


def test_denoising_in_pieces(make_model, tmp_path, monkeypatch):
    model, store = checkpoint.load(make_model("vqvae")), write_long(tmp_path / "store", 100)
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 240)
    noises = {"offset": lambda x, snr_db, generator: x + 1, "none": lambda x, snr_db, generator: x}
    offset, none = denoising(model, store, "all", noises, (0,))
    deviations = [np.sqrt(np.var(store.signal(row), axis=1)) for row in range(3)]
    expected = np.concatenate([100 / deviation * [1, 1, 0] for deviation in deviations])
    assert offset["noisy_prdn"]["mean"] == pytest.approx(expected.mean(), rel=1e-3)
    close_to_whole = evaluate(make_model_path(model, tmp_path), store, "all")["rows"][-1]["prdn"]["mean"]
    assert none["prdn"]["mean"] == pytest.approx(close_to_whole, rel=1e-2)
    assert none["seen_in_training"] is None and none["records"] == 3


def make_model_path(model, folder):
    return checkpoint.save(model, folder / "again")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.sampled_from([50, 100, 128, 173.61, 250, 257, 360, 500, 1000]),
       st.sampled_from(["conv", "transformer"]), st.integers(10, 2000))
def test_pieces_cover_a_record_once_and_overlap_by_the_context(samples, rate, backbone, size):
    model = build(parse_settings({"family": "vqvae", "backbone": f"{backbone}-tiny"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_SAMPLES", size)
        parts = split_pieces(samples, rate, model)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])] and parts[-1].stop == samples
    for part in parts:
        context = sum(model.context) / model.signal.rate * rate
        assert part.first == 0 or part.start - part.first > context - 1
        assert part.last == samples or part.last - part.stop > context - 1
        assert part.first * model.signal.rate / rate == pytest.approx(
            round(part.first * model.signal.rate / rate / model.total_hop) * model.total_hop, rel=1e-4)


def test_batches_of_long_records_have_their_pieces_in_order(make_model, tmp_path, monkeypatch):
    model, store = checkpoint.load(make_model("vqvae")), write_long(tmp_path / "store", 100)
    monkeypatch.setattr(pieces, "PIECE_SAMPLES", 240)
    drawn = [(row, piece) for batch in batches(model, store, np.arange(3), size=2)
             for row, piece in zip(batch.rows, batch.pieces, strict=True)]
    for row in range(3):
        starts = [piece.start for other, piece in drawn if other == row]
        assert starts == sorted(starts) and len(starts) > 1
    (batch, *_) = batches(model, store, np.array([0]))
    expected = conform(store.record(0).read(batch.pieces[0].first, batch.pieces[0].last), model.signal).signal
    np.testing.assert_array_equal(batch.x[0].numpy(), expected)


def test_results_in_the_background_are_in_order_and_errors_are_raised():
    results = [result for _, result in in_background(lambda item: item * item, range(50), torch.device("cpu"))]
    assert results == [item * item for item in range(50)]

    def fail(item):
        raise ValueError(f"item {item}")
    with pytest.raises(ValueError, match="item 0"):
        list(in_background(fail, range(3), torch.device("cpu")))
