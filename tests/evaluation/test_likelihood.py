"""Bounds of the likelihood, against a linear-Gaussian model, as an untrained one is (Tipping and Bishop 1999)."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from ecgvae import checkpoint
from ecgvae.data.store import Store
from ecgvae.evaluation.likelihood import likelihood
from ecgvae.models import build, parse_settings

DEVIATION, LATENT = 0.2, 5


def small(**changes):
    return parse_settings({"family": "vae", "backbone": "conv-tiny", "latent": 6, "signal": {"scale": 0.25}, **changes})


def signal(count, leads=8, samples=120):
    return torch.randn(count, leads, samples, generator=generator(1)) / 2


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def solved(shift=0.0):
    """A VAE of one lead with its true posterior, or that with the mean shifted; and the posterior's precision.

    Of the eight samples of a frame five are the latent's, times the signal's scale, and three are zero.
    """
    scale = 0.5
    signal_spec = {"leads": ("II",), "scale": scale}
    model = build(small(latent=LATENT, likelihood_std=DEVIATION, signal=signal_spec)).eval()
    precision = 1 + scale**2 / DEVIATION**2
    with torch.no_grad():
        model.decoder.project.weight[LATENT:] = 0
        model.decoder.project.bias[LATENT:] = 0
        for parameter, value in ((model.merge_frames.linear.bias[:LATENT], shift),
                                 (model.merge_frames.linear.bias[LATENT:], -math.log(precision))):
            parameter.fill_(value)
        model.merge_frames.linear.weight[:LATENT] *= scale**2 / DEVIATION**2 / precision    # of x over its scale
    return model, precision


def evidence(model, x):
    """log p(x), with the decoder as a matrix and an offset from what it makes of basis vectors."""
    samples = x.shape[-1]
    frames = samples // model.hop
    with torch.no_grad():
        offset = model.decode(torch.zeros(1, LATENT, frames), samples).flatten()
        matrix = (model.decode(torch.eye(LATENT * frames).view(-1, LATENT, frames), samples).flatten(1) - offset).T
    assert torch.linalg.matrix_rank(matrix) == LATENT * frames
    return MultivariateNormal(offset, matrix @ matrix.T + DEVIATION**2 * torch.eye(samples)).log_prob(x.flatten(1))


def averaged(bound, x, count, repeats):
    """The mean of a bound over many draws, all in one batch."""
    return bound(x.repeat_interleave(repeats, 0), count, generator()).view(len(x), -1).mean(1)


def test_with_the_true_posterior_every_sample_gives_the_evidence():
    model, _ = solved()
    x = signal(4, leads=1, samples=24)
    for count in (1, 3):
        torch.testing.assert_close(model.iwae(x, count, generator()), evidence(model, x), rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(averaged(model.elbo, x, 2, 2000), evidence(model, x), rtol=0, atol=0.2)


def test_the_elbo_misses_the_evidence_by_the_divergence_from_the_true_posterior():
    model, precision = solved(shift=0.3)
    x = signal(4, leads=1, samples=24)
    gap = 3 * LATENT * 0.3**2 * precision / 2       # of equal Gaussians 0.3 apart in every dimension
    torch.testing.assert_close(evidence(model, x) - averaged(model.elbo, x, 2, 2000), torch.full((4,), gap),
                               rtol=0, atol=0.2)


def test_the_importance_weighted_bound_rises_from_the_elbo_to_the_evidence():
    model, _ = solved(shift=0.2)
    x = signal(4, leads=1, samples=8)
    bounds = [averaged(model.elbo, x, 1, 2000), *(averaged(model.iwae, x, count, 500) for count in (3, 10, 100)),
              evidence(model, x)]
    means = [float(bound.mean()) for bound in bounds]
    assert means == sorted(means) and means[-1] - means[0] > 0.3
    assert means[-1] - means[-2] < 0.03


def test_the_elbo_is_below_the_importance_weighted_bound(random_model):
    model = random_model(small(likelihood_std=1.0, span=3))
    x = signal(4, samples=48)
    assert (model.elbo(x, 50, generator()) < model.iwae(x, 50, generator(1))).all()


def test_likelihood_of_a_store(random_model, store, tmp_path):
    store, model = Store(store), random_model(small(likelihood_std=0.5))
    model = checkpoint.load(path := checkpoint.save(model, tmp_path / "model"))
    report = likelihood(path, store, "all", seconds=4, samples=8, batch_size=2)
    x = torch.stack([torch.from_numpy(store.record(row).select(model.signal.coded).signal[:, :400])
                     for row in range(3)])
    with torch.no_grad():
        q = model.posterior(x)
    assert report["records"] == 3 and report["units"] == 6
    assert report["kl"] == pytest.approx(float(q.kl().sum((1, 2)).mean()), rel=1e-3)
    assert report["elbo"] == pytest.approx(float(model.elbo(x, 400, generator()).mean()), rel=0.1)
    assert report["elbo"] < report["iwae"]
    assert report["iwae_per_second"] == report["iwae"] / 4
    assert report["active_units"] == int((q.mean.transpose(0, 1).flatten(1).var(1, correction=0) > 0.01).sum())
    plain = checkpoint.save(random_model(small(family="ae")), tmp_path / "ae")
    with pytest.raises(ValueError, match="is a model of family ae, which has no likelihood; wanted a vae or a cvae"):
        likelihood(plain, store)
