"""Noise: schedules, signal-to-noise ratios measured and in closed form, and what each artefact consists of."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly, welch
from wfdb import rdrecord

from ecgvae import noise, plotting
from ecgvae.noise import KINDS, SCHEDULES, NoiseRecordings, add_noise, alpha_bars, corruptions
from ecgvae.noise.artefacts import SYNTHETIC, drop_lead
from ecgvae.signal import Record, write_record
from ecgvae.synthetic import simulate

ADDED = [kind for kind in KINDS if kind != "drop-out"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def power(x) -> np.ndarray:
    """Per record, over all leads without their means, in float64."""
    x = np.asarray(x, np.float64)
    return np.square(x - x.mean(-1, keepdims=True)).mean((-2, -1))


def share(x, rate: float, low: float, high: float) -> float:
    """Of the power of all leads, what lies from low to high Hz."""
    frequency, density = welch(np.asarray(x, np.float64), rate, nperseg=min(4096, x.shape[-1]), detrend="constant")
    return density[..., (low <= frequency) & (frequency <= high)].sum() / density.sum()


@pytest.fixture(scope="module")
def ecg() -> torch.Tensor:
    """Four hearts, each of another size, (4, 8, 1000)."""
    leads = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    hearts = [simulate("normal", rate=100, seed=seed).select(leads).signal * size
              for seed, size in enumerate((0.2, 1, 1, 5))]
    return torch.from_numpy(np.stack(hearts))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_schedules_fall_from_the_signal_to_almost_pure_noise(schedule, steps):
    alpha_bar = alpha_bars(schedule, steps)
    assert alpha_bar.shape == (steps,)
    assert 0 < alpha_bar[-1].sqrt() < 0.01
    assert (alpha_bar.diff() < 0).all()
    assert steps < 1000 or alpha_bar[0] > 0.999


def test_schedules_are_those_of_their_papers():
    u = np.arange(1, 1001) / 1000
    steps = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))      # Ho et al. 2020, section 4
    np.testing.assert_allclose(alpha_bars("linear", 1000).sqrt(), np.sqrt(steps), atol=2e-3)
    cosine = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(alpha_bars("cosine", 1000), cosine, rtol=1e-5, atol=1e-8)
    logistic = (1 + np.tanh((6 * u - 3) / 2)) / 2
    ends = (1 + np.tanh(np.array([-3, 3]) / 2)) / 2
    np.testing.assert_allclose(alpha_bars("sigmoid", 1000), (ends[1] - logistic) / np.ptp(ends), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("w", [0, 0.3, 1, 2])
@pytest.mark.parametrize("step", [0, 400, 999])
def test_measured_snr_is_the_closed_form(ecg, w, step):
    alpha_bar = alpha_bars("cosine", 1000)[step].expand(400)
    x_0 = ecg.repeat(100, 1, 1)
    epsilon = noise.white_noise(x_0, generator())
    mixed = noise.add_x0(noise.q_sample(x_0, alpha_bar, epsilon), x_0, w, alpha_bar)
    signal = noise.add_x0(noise.q_sample(x_0, alpha_bar, 0 * x_0), x_0, w, alpha_bar)
    measured = power(signal).reshape(100, 4) / power(mixed - signal).reshape(100, 4).mean(0)
    expected = float(noise.snr(alpha_bar[0], w))
    assert expected == pytest.approx((w + math.sqrt(alpha_bar[0])) ** 2 / (1 - float(alpha_bar[0])), rel=1e-5)
    np.testing.assert_allclose(measured, expected, rtol=0.01)     # for every heart, whatever its size


def test_white_noise_is_alike_in_all_leads(ecg):
    epsilon = noise.white_noise(ecg.repeat(1, 1, 20), generator())
    expected = np.sqrt(power(ecg))[:, None].repeat(8, axis=1)
    np.testing.assert_allclose(epsilon.std(-1), expected, rtol=0.03)
    assert abs(np.corrcoef(epsilon[1])[np.triu_indices(8, 1)]).max() < 0.03


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_with_the_signal_added_noise_is_never_stronger_than_it(schedule):
    alpha_bar = alpha_bars(schedule, 1000)
    with_signal, plain = noise.snr(alpha_bar, 1), noise.snr(alpha_bar, 0)
    assert (with_signal >= 1).all() and with_signal[-1] < 1.02
    assert (with_signal > plain).all() and plain[-1] < 1e-4


@settings(deadline=None, max_examples=40)
@given(w=st.floats(0, 100), alpha_bar=st.floats(1e-9, 0.9999), size=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_add_x0_keeps_the_variance(w, alpha_bar, size, seed):
    x_0 = size * torch.randn(1, 2, 50_000, generator=generator(seed)) + 7 * size
    alpha_bar = torch.tensor([alpha_bar])
    x_t = noise.q_sample(x_0, alpha_bar, noise.white_noise(x_0, generator(seed + 100)))
    assert power(noise.add_x0(x_t, x_0, w, alpha_bar)) == pytest.approx(power(x_0), rel=0.04)
    torch.testing.assert_close(noise.add_x0(x_t, x_0, 0, alpha_bar), x_t)


def test_timesteps_have_their_distribution():
    uniform = noise.sample_timesteps("uniform", 20_000, 1000, generator())
    low = noise.sample_timesteps("low-noise", 20_000, 1000, generator())
    for drawn in (uniform, low):
        assert 0 <= drawn.min() < 5 and 990 < drawn.max() < 1000
    for quantile in (0.1, 0.5, 0.9):
        assert uniform.double().quantile(quantile) == pytest.approx(1000 * quantile, abs=20)
        assert low.double().quantile(quantile) == pytest.approx(1000 * quantile**2, abs=20)


@settings(deadline=None, max_examples=60)
@given(db=st.lists(st.floats(-30, 60), min_size=3, max_size=3), leads=st.integers(1, 4), samples=st.integers(8, 300),
       size=st.floats(1e-6, 1e6), offset=st.floats(-100, 100), seed=st.integers(0, 99))
def test_the_snr_is_exact_for_every_record(db, leads, samples, size, offset, seed):
    x = torch.randn(3, leads, samples, generator=generator(seed), dtype=torch.float64) + offset
    white = torch.randn(x.shape, generator=generator(seed + 100), dtype=torch.float64)
    disturbance = size * (white.cumsum(-1) + offset)
    noisy = add_noise(x, disturbance, torch.tensor(db, dtype=torch.float64))
    assert 10 * np.log10(power(x) / power(noisy - x)) == pytest.approx(db, abs=1e-5)
    torch.testing.assert_close(noisy.mean(-1), x.mean(-1))     # of each lead
    torch.testing.assert_close(add_noise(x, disturbance, db[0])[0], noisy[0])


def test_flat_records_and_silent_noise_stay(ecg):
    flat = torch.zeros(2, 3, 100)
    assert torch.equal(add_noise(flat, torch.randn(flat.shape, generator=generator()), 0.0), flat)
    assert torch.equal(noise.white_noise(flat, generator()), flat)
    assert torch.equal(add_noise(ecg, torch.zeros_like(ecg), 0.0), ecg)


@pytest.mark.parametrize(("kind", "rate", "low", "high"), [
    ("wander", 100, 0, 0.6), ("wander", 500, 0, 0.75), ("muscle", 100, 19, 50), ("muscle", 500, 19, 151),
    ("electrode", 100, 0, 5), ("electrode", 500, 0, 5), ("mains-50", 100, 49.5, 50), ("mains-60", 128, 59.5, 60.5)])
def test_artefacts_lie_in_their_band(kind, rate, low, high):
    signal = SYNTHETIC[kind]((2, 3, 120 * rate), generator(), rate=rate)
    assert share(signal, rate, low, high) > 0.98


def test_muscle_noise_fills_its_band_evenly():
    signal = SYNTHETIC["muscle"]((2, 3, 60_000), generator(), rate=500)
    thirds = [share(signal, 500, low, low + 43.3) for low in (20, 63.4, 106.7)]
    assert thirds == pytest.approx([1 / 3] * 3, abs=0.03)


def test_mains_has_odd_harmonics_below_half_the_rate():
    signal = SYNTHETIC["mains-50"]((4, 3, 60_000), generator(), rate=500)
    parts = [share(signal, 500, line - 0.5, line + 0.5) for line in (50, 100, 150, 250)]
    assert parts == pytest.approx(np.array([1, 0, 1 / 9, 0.04]) / (1 + 1 / 9 + 0.04), abs=0.03)
    slow = SYNTHETIC["mains-50"]((4, 3, 12_000), generator(), rate=200)
    assert share(slow, 200, 49.5, 50.5) > 0.99     # 150 Hz does not come back as 50


def test_mains_at_half_the_rate_alternates():
    signal = SYNTHETIC["mains-50"]((1, 1, 6000), generator(3), rate=100)[0, 0]
    envelope = signal * (-1.0) ** torch.arange(6000)
    assert share(envelope, 100, 0, 0.2) > 0.99


@pytest.mark.parametrize(("kind", "rate", "message"), [
    ("mains-60", 100, "60 Hz at a rate of 100 Hz; wanted 120 Hz"), ("muscle", 40, "rate of 40 Hz; wanted more than")])
def test_a_rate_that_can_not_hold_the_noise_is_refused(kind, rate, message):
    with pytest.raises(ValueError, match=message):
        corruptions([kind], rate)


def test_an_electrode_jumps_and_recovers():
    """One jump in 4 s: nothing before it, the peak within 0.2 s, then down to e^-1 in 0.2 s to 1 s."""
    signal = SYNTHETIC["electrode"]((200, 1, 400), generator(), rate=100)[:, 0].abs()
    signal = signal / signal.amax(-1, keepdim=True)
    onset, peak = (signal > 1e-3).int().argmax(-1), signal.argmax(-1)
    assert 0 <= onset.min() < 20 and 280 < onset.max() <= 300
    assert 5 <= (peak - onset).min() and (peak - onset).max() <= 20
    early = peak < 200
    times = [int((row[place:] > math.exp(-1)).sum()) for row, place in zip(signal[early], peak[early], strict=True)]
    assert 20 <= min(times) < 40 and 90 < max(times) < 120


def test_a_lead_drops_out(ecg):
    lost = drop_lead(ecg.repeat(50, 1, 1) + 100, generator()) == 0
    assert (lost.any(-1).sum(-1) == 1).all()
    assert (lost.any(-1).sum(0) > 0).all()     # every lead of the eight, some time
    stretch = lost.sum((1, 2))
    assert 99 <= stretch.min() and stretch.max() <= 1000
    assert (lost.any(1).int().diff(dim=-1).abs().sum(-1) <= 2).all()     # in one piece
    first = lost.any(1).int().argmax(-1)
    assert first.min() < 20 and first.max() > 600
    kept = ~lost
    assert torch.equal(drop_lead(ecg.repeat(50, 1, 1) + 100, generator())[kept], (ecg.repeat(50, 1, 1) + 100)[kept])


@pytest.mark.parametrize("kind", KINDS)
def test_corruptions_follow_their_generator_alone(ecg, kind):
    corrupt = corruptions([kind], 120)[kind]
    torch.manual_seed(1)
    first = corrupt(ecg, 5.0, generator(1))
    torch.manual_seed(2)
    assert torch.equal(corrupt(ecg, 5.0, generator(1)), first)
    assert not torch.equal(corrupt(ecg, 5.0, generator(2)), first)
    assert not torch.equal(first, ecg)


@pytest.mark.parametrize("kind", ADDED)
def test_corruptions_reach_their_snr(ecg, kind):
    disturbance = corruptions(ADDED, 120)[kind](ecg, torch.tensor([20.0, 10, 5, 0]), generator()) - ecg
    assert 10 * np.log10(power(ecg) / power(disturbance)) == pytest.approx([20, 10, 5, 0], abs=1e-4)


@pytest.fixture
def folder(tmp_path):
    """Recorded muscle noise that counts: its channels rise and fall by 1 µV a sample from 5 and -5 mV."""
    count = np.arange(2001) / 1000
    write_record(Record(np.stack([5 + count, -9 - count]), 100, ("noise1", "noise2")), tmp_path, "ma")
    return tmp_path


def test_recordings_are_cropped_with_place_channel_and_sign(folder):
    crops = NoiseRecordings(folder, 100).crops("muscle", (40, 5, 200), generator())
    assert crops.shape == (40, 5, 200)
    values = crops.abs()
    torch.testing.assert_close(values.diff(dim=-1), torch.full((40, 5, 199), 0.001), atol=2e-6, rtol=0)
    second = values[..., 0] > 8
    negative = (crops[..., 0] < 0).float()
    assert 0.3 < second.float().mean() < 0.7
    assert 0.3 < negative[second].mean() < 0.7 and 0.3 < negative[~second].mean() < 0.7
    starts = values[..., 0] - torch.where(second, 9, 5)
    assert 0 <= starts.min() < 0.05 and 0.75 < starts.max() <= 0.8005     # of places up to 800 of 1000 samples


def test_the_halves_share_nothing(folder):
    first, second = (NoiseRecordings(folder, 100, half).crops("muscle", (40, 5, 200), generator()).abs() for half in
                     ("first", "second"))
    low = first[first < 8]
    assert low.max() < 6 and second[second < 8].min() >= 6 - 1e-6
    assert NoiseRecordings(folder, 100, "second").signals["muscle"].shape == (2, 1001)


def test_only_what_is_recorded_replaces_what_is_synthetic(ecg, folder):
    recorded = corruptions(ADDED, 120, NoiseRecordings(folder, 120))
    for kind, corrupt in corruptions(ADDED, 120).items():
        same = torch.equal(corrupt(ecg, 0.0, generator()), recorded[kind](ecg, 0.0, generator()))
        assert same == (kind != "muscle")


def test_recordings_that_do_not_serve_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="1000 samples; wanted 1500"):
        NoiseRecordings(folder, 100).crops("muscle", (1, 1, 1500), generator())
    with pytest.raises(ValueError, match="holds no recorded noise; wanted bw.hea"):
        NoiseRecordings(tmp_path / "nothing", 100)
    write_record(Record(np.full((1, 50), np.nan), 100, ("noise1",)), tmp_path, "bw")
    with pytest.raises(ValueError, match="bw.hea has gaps"):
        NoiseRecordings(tmp_path, 100)
    write_record(Record(np.ones((1, 50)), 0.6, ("noise1",)), tmp_path, "bw", overwrite=True)
    with pytest.raises(ValueError, match="bw.hea has a rate of 0.6 Hz; wanted 20 Hz or more"):
        NoiseRecordings(tmp_path, 100)


def test_the_stress_test_database_is_read_by_halves(data):
    halves = {half: NoiseRecordings(data / "nstdb", 360, half).signals for half in ("first", "second")}
    resampled = NoiseRecordings(data / "nstdb", 100, "second").signals
    assert halves["first"].keys() == {"wander", "muscle"}
    for kind, name in (("wander", "bw"), ("muscle", "ma")):
        stored = rdrecord(str(data / "nstdb" / name)).p_signal.T.astype(np.float32)
        joined = torch.cat([halves["first"][kind], halves["second"][kind]], dim=1)
        np.testing.assert_array_equal(joined, stored)
        assert halves["first"][kind].shape == (2, 325_000)
        expected = resample_poly(stored[:, 325_000:], 5, 18, axis=-1, window=("kaiser", 5.0), padtype="edge")
        np.testing.assert_allclose(resampled[kind], expected, atol=1e-4)
    assert share(resampled["muscle"], 100, 5, 50) > 0.05 > 0.005 > share(resampled["wander"], 100, 5, 50)


def test_the_plot_shows_what_the_closed_form_says(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr("ecgvae.plotting.curves.save_figure", lambda figure, path: figures.append(figure) or path)
    plotting.plot_noise(tmp_path / "noise.png", steps=200)
    lines = {line.get_label(): line.get_ydata() for line in figures[0].axes[0].lines}
    for schedule in SCHEDULES:
        for w in (0, 1):
            root = alpha_bars(schedule, 200).double().sqrt().numpy()
            expected = 20 * np.log10(w + root) - 10 * np.log10(1 - root**2)
            np.testing.assert_allclose(lines[f"{schedule}, w = {w}"], expected, atol=1e-2)
