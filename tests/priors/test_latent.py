"""Latent diffusion: the loss against a plain computation, samples of known distributions, guidance, given frames."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from ecgvae.codebooks import LatentSpec
from ecgvae.conditions import ConditionSettings
from ecgvae.priors import SamplingSettings, build_prior, parse_prior_settings

TINY = {"kind": "latent", "width": 16, "layers": 2, "heads": 2, "window": 3, "embedding_width": 8}
CONDITION = {"labels": ["NORM", "MI"], "age": True, "dropout": 0}
SOLVERS = [("flow", "heun"), ("flow", "euler"), ("ddpm", "ddim"), ("ddpm", "ddpm")]


def tiny_prior(**changes):
    """A small prior over 3 channels with random weights everywhere, in evaluation mode."""
    torch.manual_seed(0)
    prior = build_prior(parse_prior_settings({**TINY, **changes}), LatentSpec(6, 3))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(0, 0.3)
    prior.prepare(torch.tensor([2.0, 0.5, 3.0])[:, None] * torch.randn(8, 3, 20) + torch.tensor([[1.0], [-1], [0]]))
    return prior.eval()


def vectors(*labels):
    settings = ConditionSettings(**CONDITION)
    return torch.tensor([settings.vector([label] if label else [], 60) for label in labels])


def draw(prior, count, frames=5, seed=0, condition=None, given=None, **options):
    return prior.sample(count, frames, condition, torch.Generator().manual_seed(seed),
                        SamplingSettings(**{"steps": 4, **options}), given)


def test_latents_are_standardized_by_what_prepare_measures():
    prior, z = tiny_prior(), torch.randn(50, 3, 7) * 4 - 2
    prior.prepare(z)
    np.testing.assert_allclose(prior.mean[:, 0], z.numpy().mean((0, 2)), rtol=1e-5)
    np.testing.assert_allclose(prior.std[:, 0], z.numpy().std((0, 2)), rtol=1e-5)
    assert {"mean", "std"} <= prior.state_dict().keys()


def test_a_channel_that_does_not_vary_is_sampled_as_it_is():
    prior, z = tiny_prior(), torch.randn(50, 3, 7)
    z[:, 1] = 0.25
    prior.prepare(z)
    assert torch.isfinite(prior.loss(z))
    torch.testing.assert_close(draw(prior, 4)[:, 1], torch.full((4, 5), 0.25), atol=1e-4, rtol=0)


@pytest.mark.parametrize("process", ["flow", "ddpm"])
@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
def test_loss_equals_a_plain_computation(process, times):
    prior = tiny_prior(process=process, times=times, condition=CONDITION, partial_labels=0, given_frames=1).train()
    z, condition = torch.randn(4, 3, 9), vectors("MI", "NORM", "", "MI")
    torch.manual_seed(1)
    loss = prior.loss(z, condition).item()
    torch.manual_seed(1)
    t, noise, given = prior.training_times(4), torch.randn(4, 3, 9), prior.training_given(4, 9)
    x_0, errors = (z - prior.mean) / prior.std, []
    assert given.any() and not given.all(1).any()
    for item in range(4):
        if process == "flow":
            signal, deviation = 1 - t[item], t[item]
            target = noise[item] - x_0[item]
        else:
            angle = (t[item] + 0.008) / 1.008 * np.pi / 2
            signal = (angle.cos() / np.cos(0.008 / 1.008 * np.pi / 2)).clamp(min=1e-9**0.5)
            deviation = (1 - signal**2).sqrt()
            target = signal * noise[item] - deviation * x_0[item]
        x = torch.where(given[item], x_0[item], signal * x_0[item] + deviation * noise[item])
        inputs = torch.cat([x, given[item][None].float()]).T[None]
        output = prior.network(inputs, t[item:item + 1], prior.condition_embedding(condition[item:item + 1], 1))[0].T
        errors += (output - target)[:, ~given[item]].flatten().tolist()
    assert loss == pytest.approx(np.square(errors).mean(), rel=1e-4)


def test_training_times_have_their_distribution():
    prior = tiny_prior(times="uniform")
    assert kstest(prior.training_times(2000), "uniform").statistic < 0.001      # they are spread evenly
    times = tiny_prior().training_times(2000).double()
    assert kstest((times / (1 - times)).log(), "norm").statistic < 0.001
    first = torch.stack([prior.training_times(8)[0] for _ in range(2000)])
    assert kstest(first, "uniform").statistic < 0.04


def test_given_frames_of_training_surround_a_span():
    prior = tiny_prior(given_frames=0.5).train()
    given = prior.training_given(4000, 6)
    some = given[given.any(1)]
    assert not given.all(1).any()
    assert (some.int().diff().clamp(min=0).sum(1) <= 1).all()       # one gap
    assert 0.35 < len(some) / len(given) < 0.5                      # a span of all frames gives none
    assert 0.3 < float((~some[:, -1]).float().mean()) < 0.8
    assert not prior.eval().training_given(100, 6).any()


@pytest.mark.parametrize("process", ["flow", "ddpm"])
def test_every_parameter_has_a_gradient(process):
    prior = tiny_prior(process=process, condition=CONDITION, dropout=0.1).train()
    prior.loss(torch.randn(6, 3, 9), vectors(*["MI"] * 6)).backward()
    assert not [name for name, parameter in prior.named_parameters()
                if parameter.grad is None or not parameter.grad.abs().sum() > 0]


def exact_gaussian(prior, mean, std):
    """Makes a prior predict the exact target for latents N(mean, std^2) after standardization."""
    mean, std = (torch.as_tensor(mean)[:, None] - prior.mean) / prior.std, torch.as_tensor(std)[:, None] / prior.std

    def predict(x, t, condition, given, x_0):
        if prior.settings.process == "flow":
            signal, deviation = 1 - t[:, None, None], t[:, None, None]
        else:
            alpha_bar = prior.process.alpha_bar(t)[:, None, None]
            signal, deviation = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        variance = (signal * std) ** 2 + deviation**2
        data = mean + signal * std**2 / variance * (x - signal * mean)
        noise = deviation / variance * (x - signal * mean)
        return prior.process.noised(data, noise, t)[1]
    prior.predict = predict


@pytest.mark.parametrize(("process", "solver"), SOLVERS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_samples_of_a_gaussian_have_its_moments_and_the_temperature_scales_its_deviation(process, solver, temperature):
    prior, mean, std = tiny_prior(process=process), [0.5, 4.0, -1.0], [0.3, 1.0, 2.0]
    exact_gaussian(prior, mean, std)
    z = draw(prior, 30, 200, solver=solver, steps=200, temperature=temperature)
    np.testing.assert_allclose(z.mean((0, 2)), mean, atol=0.08)
    tolerance = 0.07 if solver == "ddpm" else 0.04      # 200 of 1,000 steps lose some variance
    np.testing.assert_allclose(z.std((0, 2)), np.multiply(std, temperature), rtol=tolerance)


@pytest.mark.parametrize(("process", "solver"), SOLVERS)
def test_samples_are_reproducible_and_do_not_depend_on_their_number(process, solver):
    prior = tiny_prior(process=process)
    z = draw(prior, 5, solver=solver)
    assert torch.equal(z, draw(prior, 5, solver=solver))
    torch.testing.assert_close(z[:2], draw(prior, 2, solver=solver), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(z, draw(prior, 5, seed=1, solver=solver))
    assert not torch.allclose(z[0], z[1])
    torch.manual_seed(3)
    state = prior.sample(1, 5)
    torch.manual_seed(3)
    assert torch.equal(state, prior.sample(1, 5))


def test_a_deterministic_solver_draws_noise_once_and_ddpm_at_every_step(monkeypatch):
    numbers = []
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *args, **kwargs: numbers.append(1) or randn(*args, **kwargs))
    for (process, solver), count in zip(SOLVERS, (1, 1, 1, 4), strict=True):
        prior = tiny_prior(process=process)
        numbers.clear()
        draw(prior, 1, solver=solver)
        assert len(numbers) == count


@pytest.mark.parametrize(("process", "solver"), SOLVERS)
def test_guidance(process, solver):
    prior, condition = tiny_prior(process=process, condition=CONDITION), vectors("MI", "NORM")
    options = {"solver": solver, "steps": 1}
    conditional, unconditional = draw(prior, 2, condition=condition, **options), draw(prior, 2, **options)
    assert not torch.allclose(conditional, unconditional, atol=0.01)
    torch.testing.assert_close(draw(prior, 2, condition=condition, guidance=0, **options), unconditional)
    guided = draw(prior, 2, condition=condition, guidance=2.5, **options)       # one step is linear in the network
    torch.testing.assert_close(guided, unconditional + 2.5 * (conditional - unconditional), atol=1e-4, rtol=1e-4)
    unknown = torch.zeros_like(condition)
    torch.testing.assert_close(draw(prior, 2, condition=unknown, guidance=2.5, **options), unconditional)


def test_given_frames_are_kept_and_change_the_others():
    prior = tiny_prior()
    given = torch.randn(2, 3, 4)
    given[:, :, 1] = torch.nan
    z = draw(prior, 2, 6, given=given)
    kept = [0, 2, 3]
    assert torch.equal(z[..., kept], given[..., kept]) and torch.isfinite(z).all()
    other = draw(prior, 2, 6, given=given + 1)
    assert not torch.isclose(z[..., [1, 4, 5]], other[..., [1, 4, 5]], atol=1e-3).all()
    nothing = torch.full((2, 3, 6), torch.nan)
    assert torch.equal(draw(prior, 2, 6, given=nothing), draw(prior, 2, 6))
    whole = torch.randn(2, 3, 6)
    assert torch.equal(draw(prior, 2, 6, given=whole), whole)


def test_a_trained_prior_continues_and_fills_in():
    """The frames of a latent are equal, and N(3, 2^2): a given frame decides the others, else they agree."""
    torch.manual_seed(0)
    prior = build_prior(parse_prior_settings({**TINY, "layers": 1, "given_frames": 0.5}), LatentSpec(6, 1))
    prior.prepare(3 + 2 * torch.randn(4000, 1, 1))
    optimizer = torch.optim.Adam(prior.parameters(), 0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, total_iters=200)
    for _ in range(200):
        optimizer.zero_grad()
        prior.loss((3 + 2 * torch.randn(64, 1, 1)).expand(-1, -1, 3)).backward()
        optimizer.step()
        schedule.step()
    prior.eval()
    free = draw(prior, 500, 3, steps=20)
    assert float(free.mean()) == pytest.approx(3, abs=0.4) and float(free.std()) == pytest.approx(2, rel=0.15)
    assert float(free.std(-1).mean()) < 0.5
    given = torch.full((50, 1, 2), torch.nan)
    given[:, 0, 1] = torch.linspace(-1, 7, 50)
    z = draw(prior, 50, 3, steps=20, given=given)
    assert float((z - given[..., 1:]).abs().mean()) < 0.4


@pytest.mark.parametrize(("changes", "options", "message"), [
    ({}, {"solver": "ddim"}, "solver ddim for a prior with process flow; wanted heun or euler"),
    ({"process": "ddpm"}, {"solver": "heun"}, "solver heun for a prior with process ddpm; wanted ddim or ddpm"),
    ({"process": "ddpm"}, {"steps": 1001}, "1001 steps of ddim; wanted at most 1000"),
    ({}, {"given": torch.zeros(2, 3, 6)}, r"given latents of shape \(2, 3, 6\); wanted \(2, 3, 5\) or fewer frames"),
    ({}, {"given": torch.zeros(1, 3, 5)}, r"wanted \(2, 3, 5\)"),
    ({}, {"given": torch.tensor([0, torch.nan, 0])[:, None].repeat(2, 1, 2)}, "wanted whole frames"),
    ({}, {"given": torch.full((2, 3, 2), torch.inf)}, "infinite"),
    ({"given_frames": 0}, {"given": torch.zeros(2, 3, 2)}, "trained without them"),
    ({}, {"condition": torch.zeros(2, 5)}, "a condition for a prior without one"),
    ({}, {"frames": 0}, "2 samples of 0 frames; wanted 1 or more"),
])
def test_wrong_arguments_are_named_in_one_line(changes, options, message):
    with pytest.raises(ValueError, match=message) as error:
        draw(tiny_prior(**changes), 2, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("call", ["loss", "prepare"])
@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 3, 0), (0, 3, 5)])
def test_latents_of_another_shape_are_refused(call, shape):
    with pytest.raises(ValueError, match="latents of shape"):
        getattr(tiny_prior(), call)(torch.zeros(shape))


@pytest.mark.parametrize(("changes", "message"), [
    ({"process": "gan"}, "prior.process"), ({"times": "cosine"}, "prior.times"), ({"given_frames": 2}, "given_frames"),
    ({"widht": 3}, "did you mean width")])
def test_wrong_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        parse_prior_settings({**TINY, **changes})


def test_more_heads_than_a_width_can_hold():
    with pytest.raises(ValueError, match="a width of 16 with 3 heads; wanted a multiple of 6"):
        build_prior(parse_prior_settings({**TINY, "heads": 3}), LatentSpec(6, 3))
