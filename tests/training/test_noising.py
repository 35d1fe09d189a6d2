"""The recipe's noise block: who is noised, how much, and towards which target."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ecgvae.noise import alpha_bars, snr
from ecgvae.signal import Record, write_record
from ecgvae.training.noising import NoiseSettings, Noising


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signals(count: int = 400, leads: int = 3, samples: int = 500) -> torch.Tensor:
    """Slow and smooth, of another size each, with an offset in each lead: (b, c, t)."""
    time = torch.arange(samples) / 100
    turn = torch.rand(count, leads, 1, generator=generator(9)) + torch.arange(1, leads + 1)[:, None] * time
    return (2 * torch.pi * turn).sin() * torch.logspace(-1, 1, count)[:, None, None] + 0.3


def untouched(x: torch.Tensor, noised: torch.Tensor) -> torch.Tensor:
    return (x == noised).flatten(1).all(1)


def decibels(x: torch.Tensor, noised: torch.Tensor) -> torch.Tensor:
    """The ratio of the parts of each record that are, and are not, a multiple of x without its means."""
    x, noised = (signal - signal.mean(-1, keepdim=True) for signal in (x.double(), noised.double()))
    factor = (x * noised).sum((1, 2), keepdim=True) / x.square().sum((1, 2), keepdim=True)
    rest = noised - factor * x
    return 10 * torch.log10((factor * x).square().sum((1, 2)) / rest.square().sum((1, 2)))


@pytest.mark.parametrize("clean", [0, 0.5, 1])
@pytest.mark.parametrize("artefacts", [0, 0.5])
def test_the_share_of_clean_records(clean, artefacts):
    x = signals()
    noised, target = Noising(NoiseSettings(clean=clean, artefacts=artefacts), 100)(x, generator())
    assert untouched(x, noised).float().mean() == pytest.approx(clean, abs=0.06 if clean % 1 else 0)
    assert target is x


def test_the_target_may_be_the_input():
    x = signals()
    noised, target = Noising(NoiseSettings(target="noised"), 100)(x, generator())
    assert target is noised
    assert torch.equal(x, signals())     # and what came stays as it was


@pytest.mark.parametrize("w", [0, 1, 3])
@pytest.mark.parametrize(("sampling", "power"), [("uniform", 1), ("low-noise", 2)])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_levels_of_diffusion_are_those_of_the_settings(w, sampling, power, schedule):
    """The quantiles of the ratios measured are the ratios at the quantiles of t, which fall as t rises."""
    x = signals(1000)
    settings = NoiseSettings(clean=0, x0_weight=w, timestep_sampling=sampling, schedule=schedule)
    noised, _ = Noising(settings, 100)(x, generator())
    measured = decibels(x, noised)
    for quantile in (0.25, 0.5):
        ratio = snr(alpha_bars(schedule, 1000)[round(1000 * quantile**power)], w)
        expected = 10 * float(ratio.log10())
        assert measured.quantile(1 - quantile) == pytest.approx(expected, abs=1.2)


def test_artefacts_lie_within_their_range():
    settings = NoiseSettings(clean=0, artefacts=1, snr_db=(5, 12), kinds=("wander", "muscle", "electrode", "mains-50"))
    x = signals(200)
    noised, _ = Noising(settings, 100)(x, generator())
    added = noised - x
    energies = [(part - part.mean(-1, keepdim=True)).double().square().sum((1, 2)) for part in (x, added)]
    measured = 10 * torch.log10(energies[0] / energies[1])
    assert 5 - 1e-3 <= measured.min() < 5.3 and 11.7 < measured.max() <= 12 + 1e-3
    assert measured.mean() == pytest.approx(8.5, abs=0.5)


def test_all_kinds_have_their_share():
    x = signals(400)
    noised, _ = Noising(NoiseSettings(clean=0.2, artefacts=0.5, kinds=("drop-out", "wander")), 100)(x, generator())
    dropped = ((noised == 0).sum((1, 2)) > 20)
    rough = (noised - x).diff(dim=-1).std((1, 2)) / x.std((1, 2)) > 0.01     # white noise, not a wander's
    assert dropped.float().mean() == pytest.approx(0.2, abs=0.06)
    assert (rough & ~dropped).float().mean() == pytest.approx(0.4, abs=0.08)
    assert (~rough & ~dropped & ~untouched(x, noised)).float().mean() == pytest.approx(0.2, abs=0.06)


def test_a_batch_follows_from_its_generator():
    noising, x = Noising(NoiseSettings(artefacts=0.5), 100), signals(30)
    first, _ = noising(x, generator(1))
    torch.manual_seed(5)
    other, _ = noising(x, generator(2))
    for again in (noising, Noising(NoiseSettings(artefacts=0.5), 100)):     # as after a run is resumed
        assert torch.equal(again(x, generator(1))[0], first)
    assert not torch.equal(first, other)


def test_a_pair_shares_the_level_and_not_the_noise():
    x = signals(300)
    (noisy_x, target_x), (noisy_y, target_y) = Noising(NoiseSettings(), 100).pair(x, x[:, :2], generator())
    assert target_x is x and torch.equal(target_y, x[:, :2])
    kept = untouched(x, noisy_x)
    assert torch.equal(kept, untouched(x[:, :2], noisy_y)) and 0.4 < kept.float().mean() < 0.6
    (first, _), (second, _) = Noising(NoiseSettings(clean=0), 100).pair(x, x, generator())
    assert not untouched(first, second).any()
    levels = torch.stack([decibels(x, first), decibels(x, second)])
    assert torch.corrcoef(levels)[0, 1] > 0.99


def test_the_noises_of_a_pair_are_independent():
    """Of plain noising at the last step nothing but noise is left."""
    x = signals(50)
    (first, _), (second, _) = Noising(NoiseSettings(clean=0, x0_weight=0, steps=1), 100).pair(x, x, generator())
    size = (first.double().square().sum() * second.double().square().sum()).sqrt()
    assert abs((first.double() * second).sum() / size) < 0.05


def test_recordings_stand_for_synthetic_noise(tmp_path):
    square = np.sign(np.sin(np.arange(4000) / 10)) / 2
    rough = np.random.default_rng(0).normal(size=4000)     # the half to test with
    write_record(Record(np.concatenate([square, rough])[None], 100, ("noise1",)), tmp_path, "em")
    x = signals(20, leads=1)
    settings = NoiseSettings(clean=0, artefacts=1, kinds=("electrode",), recordings=str(tmp_path))
    added = Noising(settings, 100)(x, generator())[0] - x
    two = (added - added.mean(-1, keepdim=True)).abs() / added.std(-1, keepdim=True)
    assert (added.diff(dim=-1).abs() < 1e-5 * x.abs().amax((1, 2), keepdim=True)).float().mean() > 0.95
    assert two.max() < 1.2     # a square wave has two values


def test_recordings_are_not_read_where_no_artefacts_are_wanted(tmp_path):
    Noising(NoiseSettings(recordings=str(tmp_path / "nothing")), 100)
    with pytest.raises(ValueError, match="holds no recorded noise"):
        Noising(NoiseSettings(recordings=str(tmp_path / "nothing"), artefacts=0.1), 100)


def test_noise_that_the_rate_can_not_hold_is_refused_before_training():
    with pytest.raises(ValueError, match="wanted 120 Hz or more"):
        Noising(NoiseSettings(artefacts=0.1, kinds=("mains-60",)), 100)


@pytest.mark.parametrize("values", [
    {"x0_weight": -1}, {"x0_weight": float("inf")}, {"clean": 1.5}, {"artefacts": -0.1}, {"snr_db": (10, 0)},
    {"kinds": ()}, {"kinds": ("wind",)}, {"schedule": "none"}, {"timestep_sampling": "high"}, {"steps": 0},
    {"noise": 1}, {"target": "x_0"}])
def test_settings_are_checked(values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        NoiseSettings(**values)


def test_settings_survive_json():
    settings = NoiseSettings(kinds=("muscle",), snr_db=(3, 4), recordings="noise")
    assert NoiseSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_never_waits():
    noising, x = Noising(NoiseSettings(artefacts=0.5), 100, "cuda"), signals(64).cuda()
    noising(x, generator())
    torch.cuda.set_sync_debug_mode("error")
    try:
        noised, _ = noising(x, generator())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(untouched(x, noised).cpu(), untouched(signals(64), Noising(NoiseSettings(artefacts=0.5), 100)(
        signals(64), generator())[0]))
