import numpy as np
import pytest
from scipy.signal import find_peaks, resample_poly

from ecgvae.signal import Record, read_record
from ecgvae.synthetic import CONDITIONS, DOWER, simulate, write_demo_records

SEEDS = range(4)


def lead(record: Record, name: str) -> np.ndarray:
    return record.signal[record.leads.index(name)].astype(np.float64)


def r_waves(record: Record, name: str = "II", sign: int = 1, fraction: float = 0.45) -> np.ndarray:
    """Samples of the R (or, negative, S) waves of a lead, at least `fraction` as high as the tallest."""
    signal = sign * (lead(record, name) - np.median(lead(record, name)))
    min_distance = int(0.3 * record.rate)
    return find_peaks(signal, height=fraction * np.percentile(signal, 99.7), distance=min_distance)[0]


def beat(record: Record, name: str, peaks: np.ndarray, time: float) -> float:
    """mV in a lead `time` seconds after the peaks over mV 0.33 s before, the median over beats."""
    signal, rate = lead(record, name), record.rate
    peaks = peaks[(peaks > 0.35 * rate) & (peaks < record.samples - 0.5 * rate)]
    return float(np.median(signal[peaks + round(time * rate)] - signal[peaks - round(0.33 * rate)]))


def extreme(record: Record, name: str, peaks: np.ndarray, start: float, stop: float) -> float:
    """The largest mV, by size, from `start` to `stop` seconds after the peaks."""
    values = [beat(record, name, peaks, time) for time in np.arange(start, stop, 0.004)]
    return max(values, key=abs)


def p_wave(record: Record, peaks: np.ndarray) -> float:
    """mV of lead II where P should be over the mean of before and after."""
    before, p, after = (beat(record, "II", peaks, time) for time in (-0.26, -0.15, -0.07))
    return p - (before + after) / 2


def rate(record: Record, **r_wave) -> float:
    return 60 * record.rate / np.mean(np.diff(r_waves(record, **r_wave)))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_twelve_leads_that_belong_together(condition):
    record = simulate(condition)
    one, two, three, right, left, foot = record.signal[:6].astype(np.float64)
    assert record.signal.shape == (12, 5000)
    assert record.comments[0] == f"condition: {condition}"
    assert np.isfinite(record.signal).all() and 0.5 < np.abs(record.signal).max() < 5
    for derived, expected in [
        (three, two - one), (right, -(one + two) / 2), (left, one - two / 2), (foot, two - one / 2)
    ]:  # fmt: skip
        np.testing.assert_allclose(derived, expected, atol=1e-6)


def test_a_seed_is_a_person():
    first, again, other = simulate("normal"), simulate("normal"), simulate("normal", seed=1)
    np.testing.assert_array_equal(first.signal, again.signal)
    assert np.corrcoef(first.signal[1], other.signal[1])[0, 1] < 0.9
    assert not np.array_equal(first.signal, simulate("sinus bradycardia").signal)


def test_the_rate_changes_only_the_sampling():
    fast, slow = simulate("normal", rate=500), simulate("normal", rate=100)
    expected = resample_poly(fast.signal.astype(np.float64), 1, 5, axis=1)
    assert slow.rate == 100 and slow.samples == 1000
    for simulated, resampled in zip(slow.signal, expected, strict=True):
        assert np.sqrt(np.mean((simulated - resampled) ** 2)) < 0.012


def test_dower_is_its_published_inverse():
    """Edenbrandt and Pahlm 1988: X, Y and Z from V1-V6, I and II."""
    published = np.array([
        [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
        [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
        [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
    ])  # fmt: skip
    np.testing.assert_allclose(np.linalg.pinv(np.roll(DOWER, -2, axis=0)), published, atol=1.5e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_normal(seed):
    record = simulate("normal", seconds=20, seed=seed)
    peaks = r_waves(record)
    assert 60 < rate(record) < 90
    assert np.std(np.diff(peaks)) / np.mean(np.diff(peaks)) < 0.07
    assert 0.06 < extreme(record, "II", peaks, -0.2, -0.1) < 0.2  # P
    assert 0.5 < extreme(record, "II", peaks, -0.01, 0.01) < 1.5  # R
    for name in ("I", "II", "V2", "V4", "V5", "V6"):
        assert extreme(record, name, peaks, 0.2, 0.32) > 0.03, name  # T
    growing = [extreme(record, name, peaks, -0.04, 0.01) for name in ("V2", "V3", "V4")]
    assert growing == sorted(growing)
    depth = [beat(record, name, peaks, 0.016) for name in ("V2", "V4", "V6")]
    assert depth == sorted(depth)


@pytest.mark.parametrize("seed", SEEDS)
def test_rates_and_rhythms(seed):
    assert 40 < rate(simulate("sinus bradycardia", 20, seed=seed)) < 50
    assert 118 < rate(simulate("sinus tachycardia", 20, seed=seed)) < 140
    record = simulate("atrial fibrillation", 60, seed=seed)
    peaks = r_waves(record)
    assert np.std(np.diff(peaks)) / np.mean(np.diff(peaks)) > 0.12
    assert abs(p_wave(record, peaks)) < 0.03
    normal = simulate("normal", 60, seed=seed)
    assert p_wave(normal, r_waves(normal)) > 0.06


@pytest.mark.parametrize("seed", SEEDS)
def test_premature_beats_come_early_and_wide_before_a_pause(seed):
    record = simulate("premature ventricular beats", 20, seed=seed)
    tall = r_waves(record, "III")
    intervals = np.diff(r_waves(record, "II", fraction=0.35)) / record.rate
    usual = np.median(intervals)
    early = np.flatnonzero(intervals[:-1] < 0.7 * usual)
    assert len(early) >= 3
    np.testing.assert_allclose(intervals[early] + intervals[early + 1], 2 * usual, rtol=0.1)
    assert beat(record, "III", tall, 0.03) > 0.4 * beat(record, "III", tall, 0)  # 30 ms on, still in the QRS


@pytest.mark.parametrize("seed", SEEDS)
def test_conduction(seed):
    record = simulate("first-degree atrioventricular block", 20, seed=seed)
    peaks = r_waves(record)
    assert extreme(record, "II", peaks, -0.3, -0.24) > 0.06 > abs(beat(record, "II", peaks, -0.14))
    record = simulate("right bundle branch block", 20, seed=seed)
    peaks = r_waves(record, "V5")
    assert beat(record, "V1", peaks, 0.05) > 0.4 and beat(record, "V1", peaks, 0.27) < -0.1
    assert beat(record, "I", peaks, 0.05) < -0.1 and beat(record, "V6", peaks, 0.05) < -0.2
    record = simulate("left bundle branch block", 20, seed=seed)
    peaks = r_waves(record, "V2", sign=-1)
    assert extreme(record, "V1", peaks, -0.05, 0.07) < -1 and beat(record, "V1", peaks, 0.25) > 0.1
    for time in (-0.03, 0.0, 0.03):
        assert beat(record, "V6", peaks, time) > 0.3 and beat(record, "I", peaks, time) > 0
    assert beat(record, "V6", peaks, 0.22) < -0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_hypertrophy_by_sokolow_and_lyon(seed):
    record = simulate("left ventricular hypertrophy", 20, seed=seed)
    peaks = r_waves(record, "V5")
    assert extreme(record, "V5", peaks, -0.01, 0.01) - extreme(record, "V1", peaks, -0.01, 0.04) > 3.5
    assert beat(record, "V6", peaks, 0.24) < -0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_st_elevation_and_its_mirror(seed):
    record = simulate("anterior ST elevation", 20, seed=seed)
    peaks = r_waves(record, "II")
    for name in ("V2", "V3", "V4"):
        assert beat(record, name, peaks, 0.10) > 0.2, name
    record = simulate("inferior ST elevation", 20, seed=seed)
    peaks = r_waves(record, "V5")
    for name in ("II", "III", "aVF"):
        assert beat(record, name, peaks, 0.10) > 0.1, name
    assert beat(record, "aVL", peaks, 0.10) < -0.1


@pytest.mark.parametrize("seed", SEEDS)
def test_pacing_has_spikes_and_equal_intervals(seed):
    record = simulate("ventricular pacing", 20, seed=seed)
    spikes = find_peaks(np.abs(np.diff(lead(record, "II"))), height=0.2, distance=100)[0]
    assert 20 <= len(spikes) <= 26
    assert np.ptp(np.diff(spikes)) <= 3
    assert beat(record, "II", spikes, 0.07) < -0.5


def test_unknown_conditions_and_empty_records():
    with pytest.raises(ValueError, match="'flutter'; wanted one of normal, sinus"):
        simulate("flutter")
    with pytest.raises(ValueError, match="wanted at least one sample"):
        simulate("normal", seconds=0)


def test_demo_records(tmp_path):
    paths = write_demo_records(tmp_path, count=len(CONDITIONS) + 1)
    records = [read_record(path) for path in paths]
    assert len(CONDITIONS) == 12 and records[-1].comments[0] == "condition: normal"
    assert [record.comments[0] for record in records[:12]] == [f"condition: {name}" for name in CONDITIONS]
    np.testing.assert_allclose(records[3].signal, simulate(CONDITIONS[3]).signal, atol=0.000501)
    assert not np.array_equal(records[0].signal, records[12].signal)
    with pytest.raises(FileExistsError):
        write_demo_records(tmp_path, count=1)
    assert write_demo_records(tmp_path, count=1, overwrite=True) == paths[:1]
