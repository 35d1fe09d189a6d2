"""Samplers with the exact velocity and denoiser of a mixture of two Gaussians.

In one dimension a flow keeps the order of samples, so that it maps every quantile of the noise to that of the data.
"""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from ecgvae.priors.processes import PROCESSES
from ecgvae.priors.samplers import sample_ddim, sample_ddpm, sample_euler, sample_heun

WEIGHTS, MEANS, STDS = (torch.tensor(values, dtype=torch.double) for values in ((0.3, 0.7), (-1.5, 1.0), (0.4, 0.6)))
NOISE = torch.linspace(-2.5, 2.5, 101, dtype=torch.double)


def data_cdf(x):
    """The distribution function of the mixture."""
    return sum(float(w) * norm.cdf(x, m, s) for w, m, s in zip(WEIGHTS, MEANS, STDS, strict=True))


def expected(x, signal, deviation):
    """E[x_0 | x_t = x] and E[noise | x_t = x] of x_t = signal x_0 + deviation noise."""
    variance = (signal * STDS) ** 2 + deviation**2
    residual = x.unsqueeze(-1) - signal * MEANS
    weights = (WEIGHTS.log() - variance.log() / 2 - residual**2 / variance / 2).softmax(-1)
    x_0 = (weights * (MEANS + signal * STDS**2 / variance * residual)).sum(-1)
    return x_0, (weights * deviation / variance * residual).sum(-1)


def velocity(x, t):
    """dx/dt of x_t = (1 - t) x_0 + t x_1 is E[x_1 - x_0 | x_t]."""
    x_0, noise = expected(x, 1 - t, t)
    return noise - x_0


def diffusion(steps):
    """Times, their ᾱ in float64, and the exact denoiser."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.double).tolist()
    alpha_bars = [np.cos(t * np.pi / 2) ** 2 for t in times]
    return times, alpha_bars, lambda x, t: expected(x, np.cos(t * np.pi / 2), np.sin(t * np.pi / 2))[0]


def quantile_error(x_0):
    return float(np.abs(data_cdf(x_0) - norm.cdf(NOISE)).max())


@pytest.mark.parametrize(("sampler", "order"), [(sample_euler, 1), (sample_heun, 2)])
def test_flows_map_quantiles_at_the_order_of_the_solver(sampler, order):
    errors = [quantile_error(sampler(velocity, NOISE, np.linspace(1, 0, steps + 1).tolist()))
              for steps in (100, 200, 400)]
    assert errors[-1] < 0.005
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert 2**order * 0.75 < coarse / fine < 2**order * 1.35


def test_heun_ends_with_a_step_of_eulers():
    times = [1.0, 0.4, 0.1]
    evaluated = []

    def tracked(x, t):
        evaluated.append(t)
        return velocity(x, t)
    x = sample_heun(tracked, NOISE, times)
    assert evaluated == [1.0, 0.4, 0.4]
    middle = NOISE - 0.6 * velocity(NOISE, 1.0)
    middle = NOISE - 0.3 * (velocity(NOISE, 1.0) + velocity(middle, 0.4))
    torch.testing.assert_close(x, middle - 0.3 * velocity(middle, 0.4))


def test_ddim_maps_quantiles():
    errors = []
    for steps in (50, 100, 200):
        times, alpha_bars, denoiser = diffusion(steps)
        errors.append(quantile_error(sample_ddim(denoiser, NOISE, times, alpha_bars)))
    assert errors[-1] < 0.005
    assert all(1.5 < coarse / fine < 2.7 for coarse, fine in zip(errors, errors[1:], strict=False))     # order 1


def test_ddpm_and_ddim_draw_from_the_data():
    generator = torch.Generator().manual_seed(0)

    def draw():
        return torch.randn(4_000, generator=generator, dtype=torch.double)
    times, alpha_bars, denoiser = diffusion(200)
    noise = draw()
    ddim = sample_ddim(denoiser, noise, times, alpha_bars)
    ddpm = sample_ddpm(denoiser, noise, times, alpha_bars, draw)
    assert kstest(ddim, data_cdf).statistic < 0.026     # draws of the mixture have more in 1 % of cases
    assert kstest(ddpm, data_cdf).statistic < 0.026
    assert abs(np.corrcoef(ddim, noise)[0, 1]) > 0.9 > 0.1 > abs(np.corrcoef(ddpm, noise)[0, 1])


def test_a_step_of_ddpm_has_the_moments_of_bayes_rule():
    """q(x_s | x_t, x_0) from the joint Gaussian of x_s and x_t under x_0."""
    alpha_bar, after, x_0, x_t = 0.2, 0.5, 0.7, -0.4
    ratio = (alpha_bar / after) ** 0.5                  # x_t = ratio x_s + noise
    precision = 1 / (1 - after) + ratio**2 / (1 - ratio**2)
    mean = (after**0.5 * x_0 / (1 - after) + ratio * x_t / (1 - ratio**2)) / precision
    for noise in (0.0, 1.0, -2.0):
        x = torch.full((3,), x_t, dtype=torch.double)
        x_s = sample_ddpm(lambda x, t: torch.full_like(x, x_0), x, [1.0, 0.0], [alpha_bar, after],
                          lambda noise=noise: torch.full((3,), noise, dtype=torch.double))
        torch.testing.assert_close(x_s, torch.full_like(x, mean + noise * precision**-0.5))


@pytest.mark.parametrize(("name", "solver", "steps", "error"), [
    ("flow", "euler", 200, 0.01), ("flow", "heun", 60, 0.01), ("ddpm", "ddim", 200, 0.01)])
def test_processes_sample_with_an_exact_network(name, solver, steps, error):
    process, evaluations = PROCESSES[name], []

    def network(x, t):
        """E[target | x_t], from the target of the process for E[x_0 | x_t] and E[noise | x_t]."""
        evaluations.append(t)
        signal, deviation = (1 - t, t) if name == "flow" else (
            float(value) ** 0.5 for value in (process.alpha_bar(torch.tensor(t)),
                                              1 - process.alpha_bar(torch.tensor(t))))
        x_0, noise = expected(x, signal, deviation)
        return process.noised(x_0[None, None], noise[None, None], torch.tensor([t]))[1][0, 0]
    x = process.sample(network, lambda: NOISE, solver, steps)
    assert quantile_error(x) < error
    assert len(evaluations) == (steps - 1 if solver == "heun" else steps)
