import heartbeats
import numpy as np
import pytest
import wfdb

from ecgvae.evaluation.generation.r_peaks import band_pass, find_r_peaks
from ecgvae.signal import read_record, resample
from ecgvae.synthetic import HEARTS, simulate


@pytest.mark.parametrize("rate", [100, 250, 500])
def test_peaks_are_where_the_beats_are(rate):
    times = np.cumsum(np.random.default_rng(0).uniform(0.5, 1.2, 11))
    signal = heartbeats.record(times[times < 9.9], heartbeats.axes(0), rate, noise=0.02)
    np.testing.assert_allclose(find_r_peaks(signal, rate) / rate, times[times < 9.9], atol=0.03)


@pytest.mark.parametrize("condition", ["normal", "sinus tachycardia", "sinus bradycardia", "left bundle branch block"])
def test_the_rate_of_simulated_hearts(condition):
    record = simulate(condition, seconds=20, rate=100)
    peaks = find_r_peaks(record.signal, record.rate)
    assert 60 * record.rate / np.diff(peaks).mean() == pytest.approx(HEARTS[condition].rate, rel=0.1)


def test_no_peaks_in_what_is_no_ecg():
    for signal in (np.zeros((3, 1000)), np.full((3, 1000), 5.0), np.full((3, 1000), np.nan), np.zeros((3, 100))):
        assert not len(find_r_peaks(signal.astype(np.float32), 100))


def test_band_pass_keeps_the_band_and_its_phase():
    time = np.arange(2000) / 100
    inside, outside = np.sin(2 * np.pi * 10 * time), 3 + np.sin(2 * np.pi * 0.1 * time)
    filtered = band_pass(np.stack([inside, inside + outside]), 100, (1, 30))
    np.testing.assert_allclose(filtered[:, 300:-300], [inside[300:-300]] * 2, atol=0.05)


def test_annotated_beats_are_found(data):
    found, beats, extra = 0, 0, 0
    for number in range(1, 40):
        path = data / "ludb-half" / "data" / str(number)
        if not path.with_suffix(".hea").exists():
            continue
        record = read_record(path)
        annotation = wfdb.rdann(str(path), "ii")
        times = annotation.sample[np.array(annotation.symbol) == "N"] / record.rate
        peaks = find_r_peaks(resample(record.signal, record.rate, 100), 100) / 100
        distances = np.abs(times[:, None] - peaks)
        found, beats = found + int((distances.min(axis=1) < 0.1).sum()), beats + len(times)
        annotated = (peaks > times[0] - 0.1) & (peaks < times[-1] + 0.1)  # not the first and the last beat
        extra += int((distances.min(axis=0)[annotated] >= 0.1).sum())
    assert beats > 100 and found == beats and extra == 0
