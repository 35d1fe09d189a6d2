"""Denoising, measured on models that remove no noise, or all of it."""

import numpy as np
import pytest
import torch
from stores import write_store

from ecgvae.evaluation.denoising import TEST_KINDS, denoising, held_out_noises
from ecgvae.models import build
from ecgvae.noise import NoiseRecordings, add_noise
from ecgvae.signal import Record, write_record

LEADS = ("I", "II", "III")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Records that keep Einthoven's law, of equal level in both coded leads."""
    random = np.random.default_rng(0)
    coded = random.normal(size=(6, 2, 400))
    signals = np.concatenate([coded, coded[:, 1:] - coded[:, :1]], axis=1)
    return write_store(tmp_path_factory.mktemp("denoising") / "store", signals, LEADS)


@pytest.fixture
def model(tiny_settings):
    torch.manual_seed(0)
    return build(tiny_settings(signal={"leads": LEADS})).eval()


def white(x, snr_db, generator):
    return add_noise(x, torch.randn(x.shape, generator=generator), snr_db)


def test_a_model_that_returns_its_input_keeps_the_noise(model, store, monkeypatch):
    monkeypatch.setattr("ecgvae.evaluation.denoising.reconstruct", lambda model, x: x)
    rows = denoising(model, store, "all", {"white": white}, snrs_db=(20, 0))
    assert [(row["noise"], row["snr_db"]) for row in rows] == [("white", 20), ("white", 0)]
    for row in rows:
        assert row["prdn"] == row["noisy_prdn"]
        assert row["noisy_prdn"]["mean"] == pytest.approx(100 * 10 ** (-row["snr_db"] / 20), rel=0.05)
    assert rows[1]["prdn"]["mean"] == pytest.approx(10 * rows[0]["prdn"]["mean"], rel=1e-4)    # the same noise, louder


def test_a_model_that_knows_the_clean_signal_is_perfect(model, store, monkeypatch):
    clean = [store.signal(row)[:2] for row in range(len(store))]

    def nearest(model, x):
        distance = [[np.square(y.numpy() - z).sum() for z in clean] for y in x]
        return torch.from_numpy(np.stack([clean[row] for row in np.argmin(distance, axis=1)]))
    monkeypatch.setattr("ecgvae.evaluation.denoising.reconstruct", nearest)
    (row,) = denoising(model, store, "all", {"white": white}, snrs_db=(10,))
    assert row["prdn"]["mean"] < 0.05 and row["noisy_prdn"]["mean"] > 25


def test_reconstructions_are_of_the_noisy_signals_and_compared_with_the_clean(model, store):
    """Computed independently, for a VQ-VAE with all of its codebooks."""
    (row,) = denoising(model, store, "all", {"white": white}, snrs_db=(5,), seed=3)
    clean = torch.from_numpy(np.stack([store.signal(row) for row in range(len(store))]))
    noisy = white(clean[:, :2], 5, torch.Generator().manual_seed(3))
    with torch.inference_mode():
        coded = model.detokenize(model.tokenize(noisy), 400)
    reconstruction = torch.cat([coded, coded[:, 1:] - coded[:, :1]], dim=1)
    deviation = clean - clean.mean(-1, keepdim=True)
    error = torch.linalg.norm(clean - reconstruction, dim=-1) / torch.linalg.norm(deviation, dim=-1)
    assert row["prdn"]["mean"] == pytest.approx(100 * error.mean().item(), rel=1e-3)


def test_recorded_noise_is_from_the_second_half(tmp_path):
    """A recording that is silent in its first half, and steps in its second."""
    signal = np.zeros((2, 2000), np.float32)
    signal[:, 1000:] = np.arange(1000) % 2
    write_record(Record(signal, 100, ("noise1", "noise2")), tmp_path, "ma")
    noises = held_out_noises(100, tmp_path)
    assert tuple(noises) == TEST_KINDS
    x = torch.randn(3, 2, 200)
    noise = noises["muscle"](x, 6, torch.Generator().manual_seed(0)) - x
    flipped = (noise[..., 1:] * noise[..., :-1] < 0).float().mean()
    assert flipped > 0.9                                # alternates as the second half does
    power = x.var(-1).mean() / noise.var(-1).mean()
    assert 10 * power.log10() == pytest.approx(6, abs=0.3)
    assert NoiseRecordings(tmp_path, 100, "first").signals["muscle"].abs().max() == 0
