import heartbeats
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgvae.evaluation.generation.beats import (
    aligned_beats,
    beat_shapes,
    compare_beat_shapes,
    is_regular,
    normal_beats,
)
from ecgvae.signal import LEADS_12


def shapes(*records):
    return beat_shapes(np.stack(records), 100, LEADS_12)


def test_equal_beats_between_samples_have_no_variance():
    result = shapes(*(heartbeats.record(heartbeats.regular(interval), heartbeats.axes(1))
                      for interval in (0.8, 0.813, 1.0371)))
    assert result.regular == 1 and np.all(result.variance < 1e-3)


def test_slow_change_is_drift_and_fast_change_is_not():
    times, first, last = heartbeats.regular(), heartbeats.axes(1), heartbeats.axes(2)
    count = len(times)
    order = np.random.default_rng(3).permutation(count)
    slow = [first + (last - first) * index / count for index in range(count)]
    same, drifting, jumping = (heartbeats.record(times, weights, noise=0.01)
                               for weights in (first, slow, [slow[index] for index in order]))
    result = shapes(same, drifting, jumping)
    assert result.variance[1] > 3 * result.variance[0] and result.variance[2] > 3 * result.variance[0]
    assert result.drift[1] > 0.8 * result.variance[1]
    assert abs(result.drift[2]) < 0.6 * result.variance[2]


def test_noise_is_not_drift():
    random = np.random.default_rng(0)
    records = [heartbeats.record(heartbeats.regular(random.uniform(0.6, 1)), heartbeats.axes(seed), noise=0.05,
                                 seed=seed) for seed in range(12)]
    result = shapes(*records)
    assert np.median(result.variance) > 0.005 and abs(np.median(result.drift)) < 0.1 * np.median(result.variance)


def test_irregular_rhythm_does_not_count_and_early_beats_are_left_out():
    times = heartbeats.regular()
    irregular = np.cumsum(np.random.default_rng(0).uniform(0.45, 1.3, 10))
    early = times.copy()
    early[5] -= 0.3
    weights = [heartbeats.axes(1)] * len(times)
    weights[5] = -heartbeats.axes(7)
    result = shapes(heartbeats.record(irregular, heartbeats.axes(1)), heartbeats.record(early, weights))
    assert np.isnan(result.variance[0]) and result.regular == 0.5
    assert result.variance[1] < 0.03
    assert not is_regular(np.cumsum([100] * 3)) and is_regular(np.cumsum([100] * 8))


def test_normal_beats_by_their_intervals():
    peaks = np.cumsum([50, 100, 100, 60, 140, 100, 100])
    np.testing.assert_array_equal(normal_beats(peaks), [True, True, False, False, False, True, True])
    assert not normal_beats(np.array([1, 2])).any()


def test_beats_are_cut_at_their_best_shift():
    signal = np.zeros((1, 400))
    for peak in (100, 203, 298):
        signal[0, peak - 3:peak + 4] = [1, 2, 3, 4, 3, 2, 1]
    beats = aligned_beats(signal, np.array([2, 100, 200, 300, 398]), 20, 20, 5)
    assert beats.shape == (3, 1, 40)
    np.testing.assert_array_equal(beats, [beats[0]] * 3)


@given(st.lists(st.integers(0, 99), max_size=9), st.integers(0, 60), st.integers(1, 60), st.integers(0, 9))
def test_beats_lie_within_the_record(peaks, before, after, max_shift):
    signal = np.arange(100.0)[None]
    beats = aligned_beats(signal, np.array(sorted(peaks), dtype=np.int64), before, after, max_shift)
    assert beats.shape[1:] == (1, before + after)
    np.testing.assert_array_equal(np.diff(beats, axis=-1), 1)   # samples in their order


def test_comparison_of_two_sets():
    times = heartbeats.regular()
    real = shapes(*(heartbeats.record(times, heartbeats.axes(seed), noise=0.01, seed=seed) for seed in range(4)))
    noisy = shapes(*(heartbeats.record(times, heartbeats.axes(seed), noise=0.02, seed=seed) for seed in range(4)))
    result = compare_beat_shapes(real, noisy)
    assert result["variance_ratio"] == pytest.approx(4, rel=0.3) and result["variance_ks"] == 1
    same = compare_beat_shapes(real, real)
    assert same["variance_ratio"] == 1 and same["variance_ks"] == 0 and same["real_regular"] == 1
    nothing = compare_beat_shapes(real, shapes(np.zeros((12, 1000), np.float32)))
    assert nothing["generated_regular"] == 0 and np.isnan(nothing["variance_ratio"])
