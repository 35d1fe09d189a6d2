"""Features of random convolutions against convolutions written out."""

import numpy as np
import pytest
import torch

from ecgvae.evaluation.generation.linear import macro_auc, ridge_scores
from ecgvae.evaluation.generation.random_network import N_KERNELS, RandomNetwork, kernels


@pytest.fixture(scope="module")
def network(draw_set) -> RandomNetwork:
    return RandomNetwork.fit(draw_set(60, 0).signals, seed=1)


def test_kernels_are_those_of_minirocket():
    weights = kernels()
    assert weights.shape == (84, 9) and len({tuple(row) for row in weights.tolist()}) == 84
    assert (weights.sum(1) == 0).all() and ((weights == 2).sum(1) == 3).all()


def test_features_are_shares_and_maxima_of_convolutions(network, draw_set):
    signals = draw_set(3, 5).signals
    features, position = network.features(signals), 0
    assert features.shape == (3, network.width)
    x = (signals - signals.mean(-1, keepdims=True)) / network.scale.numpy()
    for layer in network.layers:
        reach = 4 * layer.dilation
        padded = np.pad(x, ((0, 0), (0, 0), (reach, reach)))
        for kernel in (0, 17, 83):
            outputs = sum(np.einsum("c,bct->bt", layer.weights[kernel, :, tap].numpy(),
                                    padded[..., tap * layer.dilation:tap * layer.dilation + x.shape[-1]])
                          for tap in range(9))
            for index in range(len(layer.thresholds)):
                share = (outputs > layer.thresholds[index, kernel].item()).mean(-1)
                np.testing.assert_allclose(features[:, position + index * N_KERNELS + kernel], share, atol=0.011)
            largest = features[:, position + len(layer.thresholds) * N_KERNELS + kernel]
            np.testing.assert_allclose(largest, outputs.max(-1), rtol=1e-4)
        position += layer.width


def test_shares_above_thresholds_are_spread(network, draw_set):
    """Thresholds are quantiles of real outputs."""
    shares = network.features(draw_set(40, 2).signals)[:, :2 * N_KERNELS]
    assert 0.45 < shares.mean() < 0.55 and shares.std() > 0.2


def test_offsets_change_nothing_and_the_seed_decides(network, draw_set):
    signals = draw_set(12, 3).signals
    features = network.features(signals)
    np.testing.assert_allclose(network.features(signals + np.float32(0.5)), features, atol=0.02)
    fitted = draw_set(60, 0).signals
    np.testing.assert_array_equal(RandomNetwork.fit(fitted, seed=1).features(signals), features)
    assert not np.array_equal(RandomNetwork.fit(fitted, seed=2).features(signals), features)


def test_gains_of_a_lead_change_nothing(draw_set):
    """Leads are scaled by their deviations."""
    signals = draw_set(60, 0).signals
    louder = signals * np.float32([[8], [1], [1]])
    np.testing.assert_allclose(RandomNetwork.fit(louder).features(louder), RandomNetwork.fit(signals).features(signals),
                               rtol=1e-3, atol=0.011)


def test_progress_and_global_randomness(network, draw_set):
    done, state = [], torch.get_rng_state()
    network.features(draw_set(18, 0).signals, done.append)
    RandomNetwork.fit(draw_set(9, 0).signals)
    assert done == [8, 16, 18] and torch.equal(torch.get_rng_state(), state)


def test_a_linear_classifier_of_the_features_finds_the_classes(network, draw_set):
    train, held_out = draw_set(100, 6), draw_set(50, 7)
    scores = ridge_scores(network.features(train.signals), train.labels, network.features(held_out.signals))
    assert macro_auc(held_out.labels, scores) > 0.95


def test_signals_that_are_too_short():
    with pytest.raises(ValueError, match="signals of 8 samples; wanted 9 or more"):
        RandomNetwork.fit(np.zeros((4, 2, 8), np.float32))
