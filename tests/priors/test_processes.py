"""Processes: the ends of their paths, their targets, and the times of training."""

import pytest
import torch

from ecgvae.priors.processes import DIFFUSION_STEPS, PROCESSES, Diffusion


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(3, 2, 5), torch.randn(3, 2, 5)


@pytest.mark.parametrize("name", PROCESSES)
def test_paths_begin_at_data_and_end_at_noise(name, pair):
    process, (x_0, noise) = PROCESSES[name], pair
    assert torch.equal(process.noised(x_0, noise, torch.zeros(3))[0], x_0)
    torch.testing.assert_close(process.noised(x_0, noise, torch.ones(3))[0], noise, atol=1e-3, rtol=0)


def test_the_schedule_of_diffusion_falls_to_noise():
    alpha_bars = Diffusion().alpha_bars
    assert len(alpha_bars) == DIFFUSION_STEPS + 1 and alpha_bars[0] == 1
    assert bool((alpha_bars.diff() < 0).all())
    assert float(alpha_bars[-1].sqrt()) < 1e-3


def test_data_and_noise_follow_from_a_noised_latent_and_its_target(pair):
    x_0, noise = pair
    t = torch.tensor([0.1, 0.5, 0.9])
    x_t, velocity = PROCESSES["flow"].noised(x_0, noise, t)
    torch.testing.assert_close(x_t - t[:, None, None] * velocity, x_0)
    torch.testing.assert_close(x_t + (1 - t)[:, None, None] * velocity, noise)
    x_t, v = PROCESSES["ddpm"].noised(x_0, noise, t)
    alpha_bar = Diffusion().alpha_bar(t)[:, None, None]
    torch.testing.assert_close(alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * v, x_0)
    torch.testing.assert_close((1 - alpha_bar).sqrt() * x_t + alpha_bar.sqrt() * v, noise)


def test_the_target_of_a_flow_is_the_derivative_of_the_path(pair):
    x_0, noise = (x.double() for x in pair)
    t, step = torch.full((3,), 0.3, dtype=torch.double), 1e-6
    paths = [PROCESSES["flow"].noised(x_0, noise, t + sign * step)[0] for sign in (-1, 1)]
    torch.testing.assert_close((paths[1] - paths[0]) / (2 * step), PROCESSES["flow"].noised(x_0, noise, t)[1])


def test_diffusion_trains_on_every_step_but_data():
    u = (torch.arange(DIFFUSION_STEPS) + 0.5) / DIFFUSION_STEPS
    steps = (PROCESSES["ddpm"].time(u) * DIFFUSION_STEPS).round().long()
    assert steps.tolist() == list(range(1, DIFFUSION_STEPS + 1))
    assert PROCESSES["ddpm"].time(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([1 / DIFFUSION_STEPS, 1])
