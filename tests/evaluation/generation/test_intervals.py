import sys
import warnings

import heartbeats
import numpy as np
import pytest
import wfdb

from ecgvae.evaluation.generation.delineation import qrs_bounds
from ecgvae.evaluation.generation.intervals import compare_intervals, measure_intervals
from ecgvae.signal import LEADS_12, read_record, resample
from ecgvae.synthetic import simulate


def measured(*signals, rate=100):
    return measure_intervals(np.stack(signals).astype(np.float32), rate, LEADS_12).values


@pytest.mark.parametrize("rate", [100, 500])
def test_later_waves_make_longer_intervals(rate):
    times, weights = heartbeats.regular(0.9), heartbeats.axes(1)
    plain, early_p, late_t = (heartbeats.record(times, weights, rate, noise=0.005, **shift)
                              for shift in ({}, {"p": -0.06}, {"t": 0.08}))
    values = measured(plain, early_p, late_t, rate=rate)
    np.testing.assert_allclose(values["heart_rate"], 60 / 0.9, rtol=0.02)
    np.testing.assert_allclose(values["pr"] - values["pr"][0], [0, 60, 0], atol=12)
    np.testing.assert_allclose(values["qt"] - values["qt"][0], [0, 0, 80], atol=16)
    np.testing.assert_allclose(values["qrs"] - values["qrs"][0], 0, atol=8)
    np.testing.assert_allclose(values["qtc"], values["qt"] / 0.9 ** (1 / 3), rtol=0.02)


def test_simulated_hearts_have_their_intervals():
    names = ("normal", "first-degree atrioventricular block", "left bundle branch block", "sinus tachycardia")
    values = measured(*(simulate(name, rate=100).signal for name in names))
    assert values["pr"][1] - values["pr"][0] == pytest.approx(130, abs=30)  # milliseconds by construction
    assert values["qrs"][2] > values["qrs"][0] + 25
    assert values["heart_rate"][3] == pytest.approx(128, rel=0.07)


def test_amplitudes():
    weights = heartbeats.axes(1)
    signal = heartbeats.record(heartbeats.regular(0.9), weights, 500)
    values = measured(signal, rate=500)
    assert values["r_II"][0] == pytest.approx(weights[1, 2], rel=0.15)
    assert values["r_V5"][0] == pytest.approx(weights[6, 2], rel=0.15)
    np.testing.assert_allclose([values[f"range_{lead}"][0] for lead in LEADS_12], np.ptp(signal, axis=-1), rtol=1e-5)


def test_no_p_wave_in_fibrillation():
    records = [simulate("atrial fibrillation", rate=100, seed=seed).signal for seed in range(6)]
    assert np.isnan(measured(*records)["pr"]).mean() >= 0.5


def odd_signals() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    noise, time = random.normal(size=(12, 1000)), np.arange(1000)
    return {"flat": np.zeros((12, 1000)), "white noise": noise, "brown noise": np.cumsum(noise, axis=1) / 10,
            "missing": np.full((12, 1000), np.nan), "infinite": np.full((12, 1000), np.inf), "huge": 1e6 * noise,
            "tiny": 1e-5 * noise, "spikes": 3.0 * (random.random((12, 1000)) > 0.99),
            "one beat": np.tile(np.exp(-((time - 500) / 3) ** 2), (12, 1)), "short": noise[:, :150],
            "sine": np.tile(np.sin(time * 0.06), (12, 1)), "one sample": noise[:, :1]}


@pytest.mark.parametrize(("name", "signal"), odd_signals().items())
def test_odd_signals_are_not_delineated(name, signal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = measure_intervals(signal[None].astype(np.float32), 100, LEADS_12)
    assert result.undelineated == 1 and np.isnan(result.values["heart_rate"]).all()


def test_other_leads_and_wrong_shapes():
    signal = heartbeats.record(heartbeats.regular(), heartbeats.axes(1))
    two = measure_intervals(signal[None, [1, 7]], 100, ("II", "V2"))
    assert set(two.values) == {"heart_rate", "pr", "qrs", "qt", "qtc", "r_II", "range_II", "range_V2"}
    assert two.undelineated == 0
    with pytest.raises(ValueError, match=r"signals \(1, 12, 1000\) of float32; wanted numbers \(n, 2 leads, t\)"):
        measure_intervals(signal[None], 100, ("II", "V2"))
    with pytest.raises(ValueError, match="rate of 0 Hz"):
        measure_intervals(signal[None], 0, LEADS_12)


def test_distributions_of_two_sets():
    weights = heartbeats.axes(1)
    slow, fast = (measure_intervals(np.stack([heartbeats.record(heartbeats.regular(interval), weights)
                                              for interval in intervals]), 100, LEADS_12)
                  for intervals in ((0.9, 0.92, 0.95), (0.6, 0.62, 0.65)))
    assert compare_intervals(slow, fast)["heart_rate"].ks == 1
    assert compare_intervals(slow, slow)["heart_rate"].ks == 0


def test_qrs_bounds_of_a_triangle():
    beat = np.zeros((1, 400))
    beat[0, 180:221] = np.concatenate([np.arange(20), np.arange(20, -1, -1)])
    onset, end = qrs_bounds(beat, 200)
    assert abs(onset - 180) <= 2 and abs(end - 220) <= 2
    assert qrs_bounds(np.tile(np.arange(400.0), (1, 1)), 200) is None


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "neurokit2", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install ecgvae\[delineation\]"):
        measured(np.zeros((12, 1000)))


def annotated(path) -> np.ndarray:
    """Median PR, QRS and QT intervals in ms over beats and leads, from annotations of waves."""
    rows = []
    for lead in ("II", "V3", "V5"):
        annotation = wfdb.rdann(str(path), lead.lower())
        symbols, samples = annotation.symbol, annotation.sample
        waves = [(symbols[index], samples[index - 1], samples[index + 1]) for index in range(1, len(symbols) - 1)
                 if symbols[index] in "pNt" and symbols[index - 1] == "(" and symbols[index + 1] == ")"]
        for before, wave, after in zip(waves, waves[1:], waves[2:], strict=False):
            if wave[0] == "N":
                rows.append([wave[1] - before[1] if before[0] == "p" else np.nan, wave[2] - wave[1],
                             after[2] - wave[1] if after[0] == "t" else np.nan])
    return 2.0 * np.nanmedian(rows, axis=0)


def test_errors_against_annotated_waves(data):
    paths = [path.with_suffix("") for path in sorted((data / "ludb-half" / "data").glob("1*.hea"))]
    signals = [resample(record.signal, record.rate, 100)[:, :1000] for record in map(read_record, paths)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # records without P waves
        wanted = np.array([annotated(path) for path in paths])
    values = measured(*signals)
    for name, column, limit, least in (("pr", 0, 10, 0.85), ("qrs", 1, 10, 0.8), ("qt", 2, 20, 0.8)):
        both = np.isfinite(wanted[:, column]) & np.isfinite(values[name])
        errors = np.abs(values[name] - wanted[:, column])[both]
        assert both.sum() > 0.8 * np.isfinite(wanted[:, column]).sum() and np.median(errors) < limit
        assert np.corrcoef(values[name][both], wanted[both, column])[0, 1] > least, name
