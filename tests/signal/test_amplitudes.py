"""Amplitudes: measured in blocks as in a whole, noted far outside the training data's, refused where absurd."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae import simulate
from ecgvae.signal.amplitudes import UNLIKE_TRAINING, AmplitudeMeter, Amplitudes

LEADS = ("I", "II", "V1")


def measure(*blocks, rate=100) -> AmplitudeMeter:
    meter = AmplitudeMeter(rate)
    for block in blocks:
        meter.add(np.asarray(block, np.float32))
    return meter


@pytest.fixture(scope="module")
def ecg():
    return simulate("normal", 10, 100, 1).select(LEADS).signal


@pytest.fixture(scope="module")
def amplitudes():
    records = [simulate("normal", 10, 100, seed).select(LEADS).signal for seed in range(20)]
    return Amplitudes.of([measure(record) for record in records])


def test_what_overflows_is_infinite_and_refused(amplitudes, recwarn):
    for block in (np.full((3, 500), 1e38), np.tile([3e38, -3e38], (3, 250)), np.full((3, 20), 3e38)):
        meter = measure(block)
        assert np.isposinf(meter.rms_mv).all() and meter.peak_mv.max() >= 1e38
        with pytest.raises(ValueError, match="a typical amplitude of inf mV"):
            amplitudes.check(meter, "r")
        assert "RMS inf mV" in amplitudes.notes(meter, LEADS)[0]
    assert not recwarn.list


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 700), st.lists(st.integers(0, 700), max_size=5), st.floats(1, 300))
def test_blocks_give_the_amplitudes_of_the_whole(length, cuts, rate):
    signal = np.random.default_rng(length).standard_normal((2, length)).astype(np.float32)
    meter = measure(*np.split(signal, sorted(cut for cut in cuts if cut < length), axis=1), rate=rate)
    second = max(1, round(rate))
    starts = range(0, length - second + 1, second)
    whole = [signal[:, start:start + second].std(1) for start in starts] or [signal.std(1)]
    np.testing.assert_allclose(meter.rms_mv, np.median(whole, axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(meter.peak_mv, np.abs(signal).max(1))
    np.testing.assert_allclose(meter.offset_mv, signal.astype(float).mean(1), rtol=1e-9, atol=1e-12)


def test_ordinary_records_pass_without_a_note(amplitudes, ecg):
    for signal in (ecg, ecg * 1.5, ecg / 1.5, ecg * [[1], [1], [0]]):
        amplitudes.check(measure(signal), "x")
        assert amplitudes.notes(measure(signal), LEADS) == ()


@pytest.mark.parametrize("factor", [1000, 200, 1 / 1000, 1e9])
def test_another_unit_is_refused(amplitudes, ecg, factor):
    with pytest.raises(ValueError, match=r"typical amplitude of \S+ mV; the model was .* is the signal in mV"):
        amplitudes.check(measure(ecg * factor), "x")


def test_far_leads_are_noted_by_name(amplitudes, ecg):
    lead_off = ecg + [[0], [80], [0]]
    amplitudes.check(measure(lead_off), "x")
    (note,) = amplitudes.notes(measure(lead_off), LEADS)
    assert note.startswith(f"{UNLIKE_TRAINING}: II RMS ") and "peak 8" in note and "V1" not in note
    (note,) = amplitudes.notes(measure(ecg * [[1], [1], [0.05]]), LEADS)
    assert note.startswith(f"{UNLIKE_TRAINING}: V1 ")


@pytest.mark.parametrize("offset", [3.1, -3.1])
def test_a_lead_with_an_offset_is_noted(amplitudes, ecg, offset):
    signal = ecg - ecg.mean(axis=1, keepdims=True)
    (note,) = amplitudes.notes(measure(*np.array_split(signal + [[0], [0], [offset]], 7, axis=1)), LEADS)
    assert note.startswith(f"{UNLIKE_TRAINING}: V1 ") and note.endswith(f"offset {offset} mV") and "; " not in note
    assert amplitudes.notes(measure(signal + [[0.9], [-0.9], [0]]), LEADS) == ()


def test_flat_training_data_refuse_nothing(ecg):
    Amplitudes.of([measure(ecg * 0)]).check(measure(ecg), "x")


def test_a_flat_record_is_not_absurd(amplitudes):
    amplitudes.check(measure(np.zeros((3, 1000))), "x")
    assert amplitudes.notes(measure(np.zeros((3, 1000))), LEADS) == ()
