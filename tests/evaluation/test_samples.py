"""Samples of a prior against real records: what is real must look real."""

import numpy as np
import pytest
import torch
from stores import write_store

from ecgvae import checkpoint, metrics
from ecgvae.evaluation import samples
from ecgvae.evaluation.batches import batches
from ecgvae.evaluation.probe import pooled_features
from ecgvae.evaluation.samples import sample_quality
from ecgvae.models import build, parse_settings

LEADS, LENGTH = ("I", "II", "III"), 300


def records(count: int, seed: int) -> np.ndarray:
    coded = np.random.default_rng(seed).normal(size=(count, 2, LENGTH)).cumsum(-1) / 20
    return np.concatenate([coded, coded[:, 1:] - coded[:, :1]], axis=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """60 training records and 40 of the test fold; the sex of six in seven is known."""
    sex = np.where(np.arange(100) % 7, "male", None)
    return write_store(tmp_path_factory.mktemp("samples") / "store", records(100, 0), LEADS,
                       fold=np.repeat([1, 10], [60, 40]), sex=sex)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, tiny_settings, random_model):
    model = random_model(tiny_settings(signal={"leads": LEADS}))
    return checkpoint.save(model, tmp_path_factory.mktemp("encoder") / "encoder")


def make(tiny_settings, **settings):
    torch.manual_seed(0)
    common = {"latent": 8, "backbone": tiny_settings().backbone, "signal": {"leads": LEADS}}
    return build(parse_settings({**common, **settings})).eval()


@pytest.fixture
def vae(tiny_settings):
    return make(tiny_settings, family="vae")


def test_real_records_score_as_real_ones(vae, store, encoder, monkeypatch):
    more = torch.from_numpy(records(40, 1)[:, :2]).float()
    monkeypatch.setattr(vae, "sample", lambda count, length, generator: more[:count])
    report = sample_quality(vae, store, "test", encoder=encoder)
    assert report["records"] == 40
    assert 0.5 < report["frechet_ratio"] < 2 and report["spectrum_db"] < 2
    assert report["range_mv"]["samples"]["mean"] == pytest.approx(np.ptp(records(40, 1), axis=-1).mean(), rel=1e-4)
    assert report["range_mv"]["real"]["mean"] == pytest.approx(np.ptp(records(100, 0)[60:], axis=-1).mean(), rel=1e-2)
    expected = metrics.spectrum_distance(records(100, 0)[60:], records(40, 1), 100)
    assert report["spectrum_db"] == pytest.approx(expected, rel=0.01)

    monkeypatch.setattr(vae, "sample", lambda count, length, generator: 2 * more[:count])
    louder = sample_quality(vae, store, "test", encoder=encoder)
    assert louder["frechet_ratio"] > 2 * report["frechet_ratio"] and louder["spectrum_db"] > 5


def test_the_records_themselves_are_at_no_distance(vae, store, encoder, monkeypatch):
    """And the usual distance is that of as many training records, standardised by these."""
    real = next(batches(vae, store, np.arange(60, 100)))
    monkeypatch.setattr(vae, "sample", lambda count, length, generator: real.x)
    assert sample_quality(vae, store, "test", encoder=encoder)["frechet"] == pytest.approx(0, abs=1e-6)
    monkeypatch.setattr(vae, "sample", lambda count, length, generator: real.x.flip(1))
    report, network = sample_quality(vae, store, "test", encoder=encoder, seed=5), checkpoint.load(encoder)
    reference = pooled_features(network, store, np.random.default_rng(5).permutation(60)[:40])
    samples = pooled_features(network, store, np.arange(60, 100))
    distance = metrics.frechet((samples - reference.mean(0)) / reference.std(0),
                               (reference - reference.mean(0)) / reference.std(0))
    assert report["frechet"] / report["frechet_ratio"] == pytest.approx(distance, rel=1e-6)


def test_samples_are_those_of_the_seed(vae, store, encoder):
    first, same, other = (sample_quality(vae, store, "test", encoder=encoder, seed=seed) for seed in (0, 0, 1))
    assert first == same != other


def test_a_conditional_model_gets_the_conditions_of_the_records(tiny_settings, store, encoder, monkeypatch):
    model, conditions = make(tiny_settings, family="cvae", condition={"sex": True, "leads": ["III"]}), []
    monkeypatch.setattr(model, "sample", lambda count, length, generator, condition: conditions.append(condition)
                        or torch.zeros(count, 2, length))
    sample_quality(model, store, "test", encoder=encoder)
    (given,) = conditions
    assert given.vector.tolist() == [[0, float(row % 7 > 0)] for row in range(60, 100)]     # male is 0
    np.testing.assert_allclose(given.signal[:, 0], [store.signal(row)[2] for row in range(60, 100)], atol=0.003)
    monkeypatch.undo()
    assert np.isfinite(sample_quality(model, store, "test", encoder=encoder)["frechet"])


def test_what_cannot_be_compared_is_refused(tiny_settings, store, encoder, vae):
    with pytest.raises(ValueError, match="family ae has no prior to sample"):
        sample_quality(make(tiny_settings, family="ae"), store, encoder=encoder)
    with pytest.raises(ValueError, match="takes I, II at 100 Hz; the model has I, II at 50 Hz"):
        sample_quality(make(tiny_settings, family="vae", signal={"leads": LEADS, "rate": 50}), store, encoder=encoder)
    assert samples.DEFAULT_ENCODER in checkpoint.pretrained()
