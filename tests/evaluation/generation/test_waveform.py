import heartbeats
import numpy as np
import pytest
from scipy.stats import ks_2samp

from ecgvae.evaluation.generation.waveform import compare_waveforms, lead_correlations, measure_waveforms
from ecgvae.signal import LEADS_12


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    return np.stack([heartbeats.record(heartbeats.regular(0.8 + 0.01 * seed), heartbeats.axes(seed), noise=0.02,
                                       seed=seed) for seed in range(5)])


def test_a_set_is_like_itself(signals):
    waveforms = measure_waveforms(signals, 100, LEADS_12)
    result = compare_waveforms(waveforms, waveforms)
    assert set(result) == {"spectrum_db_1_5", "spectrum_db_5_15", "spectrum_db_15_45", "lead_correlation",
                           *(f"amplitude_ks_{lead}" for lead in LEADS_12)}
    assert not any(result.values())


def test_twice_the_amplitude_is_six_decibels(signals):
    result = compare_waveforms(measure_waveforms(signals, 100, LEADS_12), measure_waveforms(2 * signals, 100, LEADS_12))
    for band in ("1_5", "5_15", "15_45"):
        assert result[f"spectrum_db_{band}"] == pytest.approx(20 * np.log10(2), rel=1e-3)
    assert result["lead_correlation"] == pytest.approx(0, abs=1e-6)
    lead = signals[:, 0] - np.median(signals[:, 0], axis=-1, keepdims=True)
    wanted = ks_2samp(lead.ravel(), 2 * lead.ravel(), method="asymp").statistic
    assert result["amplitude_ks_I"] == pytest.approx(wanted, abs=1e-3)


def test_correlations_are_those_of_numpy_and_flat_leads_do_not_count(signals):
    mean = np.mean([np.corrcoef(signal) for signal in signals], axis=0)
    np.testing.assert_allclose(lead_correlations(signals), mean, atol=1e-5)
    flat = signals.copy()
    flat[0, 3], flat[:, 5] = 1.5, 0
    correlations = lead_correlations(flat)
    np.testing.assert_allclose(correlations[0, 3], np.mean([np.corrcoef(signal)[0, 3] for signal in signals[1:]]),
                               atol=1e-5)
    assert np.isnan(correlations[5]).all() and correlations[3, 3] == pytest.approx(1)


def test_other_leads_cannot_be_compared(signals):
    with pytest.raises(ValueError, match="wanted I, II, III, .* at 100 Hz"):
        compare_waveforms(measure_waveforms(signals, 100, LEADS_12),
                          measure_waveforms(signals[:, :2], 100, ("I", "II")))
