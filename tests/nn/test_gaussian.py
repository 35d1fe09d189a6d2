"""The diagonal Gaussian against torch.distributions."""

import torch
from torch.distributions import Normal, kl_divergence

from ecgvae.nn.gaussian import LOG_VARIANCE_BOUNDS, Gaussian, active_units, log_density


def random_gaussian(shape=(4, 6, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Gaussian(torch.randn(shape, generator=generator), 2 * torch.randn(shape, generator=generator))


def torch_normal(q):
    return Normal(q.mean, (q.log_variance / 2).exp())


def test_kl_from_the_prior():
    q = random_gaussian()
    torch.testing.assert_close(q.kl(), kl_divergence(torch_normal(q), Normal(0.0, 1.0)))
    assert Gaussian(torch.zeros(3), torch.zeros(3)).kl().eq(0).all()


def test_log_densities():
    q, z = random_gaussian(), random_gaussian(seed=1).mean
    torch.testing.assert_close(q.log_density(z), torch_normal(q).log_prob(z))
    torch.testing.assert_close(log_density(z), Normal(0.0, 1.0).log_prob(z))
    torch.testing.assert_close(log_density(z, 0.5, -1.2), Normal(0.5, torch.tensor(-0.6).exp()).log_prob(z))


def test_samples_have_the_right_moments_and_gradients():
    mean, log_variance = torch.tensor([0.5, -2.0]), torch.tensor([-3.0, 1.0])
    mean, log_variance = (t.requires_grad_() for t in (mean, log_variance))
    q = Gaussian(mean.expand(200_000, 2), log_variance.expand(200_000, 2))
    z = q.sample(torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), log_variance.exp(), atol=0, rtol=0.02)
    # E z^2 = mean^2 + variance, so its gradients are 2 mean and the variance
    gradients = torch.autograd.grad(z.square().mean(0).sum(), (mean, log_variance))
    torch.testing.assert_close(gradients, (2 * mean, log_variance.exp()), atol=0.01, rtol=0.02)


def test_the_generator_determines_the_samples():
    q = random_gaussian()
    first, again, other = (q.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_log_variance_from_a_network_is_clamped():
    output = torch.tensor([1.0, -1e4, 1e4, 1e4, -1e4, 0.5]).view(1, 6, 1).bfloat16()
    q = Gaussian.from_output(output)
    assert q.mean.dtype == torch.float32
    assert q.mean.flatten().tolist() == output[0, :3, 0].tolist()
    assert q.log_variance.flatten().tolist() == [LOG_VARIANCE_BOUNDS[1], LOG_VARIANCE_BOUNDS[0], 0.5]
    assert q.kl().isfinite().all() and q.log_density(q.mean).isfinite().all()


def test_share_of_active_units():
    noise = torch.randn(50, 4, 20, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([1.0, 0.2, 0.05, 0.0]).view(4, 1)      # variances 1, 0.04, 0.0025, 0
    assert active_units(3 + scale * noise) == 0.5
