"""Fréchet distances by the number of network evaluations, of a prior whose network is exact."""

import numpy as np
import pytest
import torch

from ecgvae.codebooks import LatentSpec
from ecgvae.evaluation.solver_steps import frechet_by_steps
from ecgvae.priors import build_prior, parse_prior_settings

STD = 0.5


@pytest.fixture
def prior():
    """A flow to N(0, 0.5^2)."""
    prior = build_prior(parse_prior_settings({"kind": "latent", "width": 8, "layers": 1, "heads": 1}), LatentSpec(6, 2))

    def predict(x, t, condition, given, x_0):
        t = t[:, None, None]
        return (t - (1 - t) * STD**2) / (((1 - t) * STD) ** 2 + t**2) * x
    prior.predict = predict
    return prior.eval()


def test_more_steps_come_closer_and_heun_sooner(prior):
    real = np.random.default_rng(0).normal(0, STD, (200, 2))
    errors = {}
    for solver in ("euler", "heun"):
        rows = frechet_by_steps(prior, real, lambda z: z[..., 0].numpy(), 3, (3, 11, 101), solver)
        assert [(row.solver, row.steps) for row in rows] == [(solver, 3), (solver, 11), (solver, 101)]
        assert all(row.seconds > 0 for row in rows)
        errors[solver] = [abs(row.frechet - rows[-1].frechet) for row in rows[:-1]]
        assert errors[solver][0] > errors[solver][1]
    assert errors["heun"][1] < errors["euler"][1]


def test_the_floor_is_that_of_as_many_exact_samples(prior):
    random = np.random.default_rng(0)
    real = random.normal(0, STD, (200, 2))
    row, = frechet_by_steps(prior, real, lambda z: z[..., 0].numpy(), 3, [101], "heun")
    assert row.frechet < 0.02


def test_conditions_go_to_the_samples_they_belong_to():
    settings = {"kind": "latent", "width": 8, "layers": 1, "heads": 1, "condition": {"age": True}}
    prior, seen = build_prior(parse_prior_settings(settings), LatentSpec(6, 2)).eval(), []
    prior.predict = lambda x, t, condition, given, x_0: seen.append(condition) or x
    condition = torch.arange(140.0).view(70, 2)
    frechet_by_steps(prior, np.eye(70, 2), lambda z: z[..., 0].numpy(), 3, [1], "euler", condition)
    assert torch.equal(torch.cat(seen), condition)
