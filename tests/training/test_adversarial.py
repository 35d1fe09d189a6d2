"""Adversarial training: losses and the adaptive weight against independent computations, and steps of both sides."""

import copy
import os
import socket

import numpy as np
import pytest
import torch
import torch.multiprocessing as multiprocessing
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter1d
from torch import nn

from ecgvae.models import build
from ecgvae.signal import SignalSpec
from ecgvae.synthetic import CONDITIONS, simulate
from ecgvae.training.adversarial import (
    MAX_ADAPTIVE_WEIGHT,
    AdversarialSettings,
    Adversary,
    adaptive_weight,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
)

TERMS = {"adversarial", "feature_matching", "adaptive_weight", "discriminator"}


def maps(*logits):
    """The maps of a discriminator for each argument: one hidden map, and its logits."""
    return [[torch.zeros(2), torch.tensor(values)] for values in logits]


def make_adversary(leads=8, **settings) -> Adversary:
    torch.manual_seed(0)
    signal = SignalSpec(leads=("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")[:leads], scale=0.25)
    return Adversary(signal, AdversarialSettings(**{"start": 0, "ramp": 1, "width": 4, **settings}))


class ToyGenerator(nn.Module):
    """A generator of two layers; the last makes the signal."""

    def __init__(self, leads=2):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv1d(leads, 5, 3, padding=1), nn.Conv1d(5, leads, 3, padding=1)

    def forward(self, x):
        return self.second(self.first(x).tanh())

    @property
    def last_layer(self):
        return self.second.weight


def signals(count=4, leads=2, samples=80, seed=0):
    return torch.randn(count, leads, samples, generator=torch.Generator().manual_seed(seed))


# --- losses


def test_hinge_losses_are_the_paper_s():
    real, fake = maps([2.0, 0.5, -1.0], [1.5]), maps([-2.0, 0.0], [0.25])
    first = (0 + 0.5 + 2) / 3 + (0 + 1) / 2
    second = 0 + 1.25
    assert float(discriminator_hinge(real, fake)) == pytest.approx((first + second) / 2)
    assert float(generator_hinge(fake)) == pytest.approx(-(-1.0 + 0.25) / 2)


def test_features_are_matched_relative_to_the_real_ones_and_without_the_logits():
    real = [[torch.tensor([2.0, -4.0]), torch.tensor([1.0]), torch.tensor([9.0])]]
    fake = [[torch.tensor([1.0, -4.0]), torch.tensor([-1.0]), torch.tensor([0.0])]]
    assert float(feature_matching(real, fake)) == pytest.approx((0.5 / 3 + 2.0) / 2)
    assert float(feature_matching(real, real)) == 0


# --- the adaptive weight


def test_the_adaptive_weight_is_the_ratio_of_gradients_at_the_last_layer():
    generator, x = ToyGenerator(), signals()
    def reconstruction(y):
        return 3 * (x - y).square().mean()
    def adversarial(y):
        return y.sin().mean()
    norms = []
    for loss in (reconstruction, adversarial):
        separate = ToyGenerator()
        loss(separate(x)).backward()
        norms.append(separate.last_layer.grad.norm())
    y = generator(x)
    gradient, = torch.autograd.grad(adversarial(y), y, retain_graph=True)
    weight = adaptive_weight(reconstruction(y), y, gradient, generator.last_layer)
    assert float(weight) == pytest.approx(float(norms[0] / norms[1]), rel=1e-4)
    assert not weight.requires_grad and all(p.grad is None for p in generator.parameters())
    assert adaptive_weight(1e9 * reconstruction(y), y, gradient, generator.last_layer) == MAX_ADAPTIVE_WEIGHT
    assert adaptive_weight(reconstruction(y), y, torch.zeros_like(y), generator.last_layer) <= MAX_ADAPTIVE_WEIGHT


def test_the_gradient_of_the_generator_loss_has_its_share_of_the_reconstruction_s():
    generator, x, adversary = ToyGenerator(), signals(), make_adversary(2, weight=0.3, feature_matching=1.5)
    before = copy.deepcopy(adversary.discriminators)
    y = generator(x)
    loss = (x - y).square().mean()
    added, terms = adversary.generator_loss(1, x, y, loss, generator.last_layer)
    gradient, = torch.autograd.grad(added, generator.first.weight, retain_graph=True)
    value = terms["adversarial"] + 1.5 * terms["feature_matching"]
    torch.testing.assert_close(added.detach(), 0.3 * terms["adaptive_weight"] * value)
    of_loss, of_added = (torch.autograd.grad(part, generator.last_layer, retain_graph=True)[0].norm()
                        for part in (loss, added))
    assert float(of_added / of_loss) == pytest.approx(0.3, rel=1e-3)

    real, fake = before(x / 0.25), before(generator(x) / 0.25)
    objective = generator_hinge(fake) + 1.5 * feature_matching(real, fake)
    expected, = torch.autograd.grad(0.3 * terms["adaptive_weight"] * objective, generator.first.weight)
    torch.testing.assert_close(gradient, expected)
    assert terms.keys() == TERMS and not any(value.requires_grad for value in terms.values())


# --- a step


def test_a_step_moves_the_discriminators_alone_and_leaves_no_gradient():
    generator, x, adversary = ToyGenerator(), signals(), make_adversary(2)
    old = copy.deepcopy(adversary.discriminators.state_dict())
    y = generator(x)
    adversary.generator_loss(1, x, y, (x - y).square().mean(), generator.last_layer)
    new = adversary.discriminators.state_dict()
    moved = {name for name in new if not torch.equal(new[name], old[name])}
    assert {name for name in old if "weight" in name} <= moved
    assert all(p.grad is None for module in (generator, adversary.discriminators) for p in module.parameters())


def test_before_the_start_nothing_happens_and_then_the_weight_grows():
    generator, x, adversary = ToyGenerator(), signals(), make_adversary(2, weight=0.8, start=10, ramp=4)
    y, old = generator(x), copy.deepcopy(adversary.discriminators.state_dict())
    added, terms = adversary.generator_loss(10, x, y, y.square().mean(), generator.last_layer)
    assert added == 0 and terms.keys() == TERMS and not any(terms.values())
    assert all(torch.equal(value, old[name]) for name, value in adversary.discriminators.state_dict().items())
    assert [adversary.weight(step) for step in (1, 10, 11, 12, 13, 14, 15, 900)] == pytest.approx(
        [0, 0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


@pytest.mark.parametrize("family", [{}, {"codebooks": 1}])
def test_under_bfloat16_every_parameter_of_a_model_gets_a_finite_gradient(tiny_settings, family):
    torch.manual_seed(0)
    model, adversary = build(tiny_settings(**family)).train(), make_adversary()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.1)
    x = signals(4, 8, 90) / 4
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x)
        loss = (x - result.signal).square().mean() + sum(result.losses.values())
        added, terms = adversary.generator_loss(1, x, result.signal, loss, model.last_layer)
    assert all(value.isfinite() for value in terms.values()) and terms["adaptive_weight"] > 0
    gradients = torch.autograd.grad(added, list(model.decoder.parameters()), retain_graph=True)
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    (loss + added).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())


def ecg(seeds) -> torch.Tensor:
    records = [simulate(list(CONDITIONS)[seed % len(CONDITIONS)], 2.56, 100, seed).signal for seed in seeds]
    return torch.from_numpy(np.stack(records)[:, [0, 1, *range(6, 12)]])


def blurred(x):
    return torch.from_numpy(gaussian_filter1d(x.numpy(), 1.5))


@pytest.fixture(scope="module")
def trained() -> tuple[Adversary, list[float]]:
    """An adversary that was trained to tell blurred ECG from real ECG, and its losses."""
    adversary, x = make_adversary(), ecg(range(24)) / 0.25
    def loss():
        return discriminator_hinge(adversary.discriminators(x), adversary.discriminators(blurred(x)))
    return adversary, [float(adversary.discriminator_step(loss()).detach()) for _ in range(40)]


def test_every_discriminator_learns_to_tell_blurred_ecg_from_real(trained):
    adversary, losses = trained
    x = ecg(range(100, 124)) / 0.25
    with torch.no_grad():
        real, fake = adversary.discriminators(x), adversary.discriminators(blurred(x))
    for real_maps, fake_maps in zip(real, fake, strict=True):
        real_logits, fake_logits = (maps[-1].flatten(1).mean(1) for maps in (real_maps, fake_maps))
        assert (real_logits > fake_logits).float().mean() > 0.9
    assert losses[-1] < 0.9 * losses[0]


def test_the_adversary_pulls_blurred_ecg_towards_sharp(trained):
    """One number says how sharp the signal is; the adversary alone pushes it up."""
    x = ecg(range(24)) / 0.25
    sharpness = torch.tensor(0.2, requires_grad=True)
    y = blurred(x) + sharpness * (x - blurred(x))
    gradient, = torch.autograd.grad(generator_hinge(trained[0].discriminators(y)), sharpness)
    assert gradient < 0


def test_resumed_steps_equal_uninterrupted_ones(tmp_path):
    def steps(adversary, numbers):
        generator = ToyGenerator()
        for number in numbers:
            x = signals(seed=number)
            y = generator(x)
            added, _ = adversary.generator_loss(number, x, y, (x - y).square().mean(), generator.last_layer)
        return added

    uninterrupted, first, second = make_adversary(2, ramp=9), make_adversary(2, ramp=9), make_adversary(2, ramp=9)
    expected = steps(uninterrupted, range(1, 7))
    steps(first, range(1, 4))
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(steps(second, range(4, 7)), expected)
    for name, value in uninterrupted.discriminators.state_dict().items():
        assert torch.equal(second.discriminators.state_dict()[name], value), name


@pytest.mark.parametrize("wrong", [{"weight": -1}, {"weight": float("nan")}, {"ramp": 0}, {"wieght": 1}])
def test_settings_are_checked(wrong):
    with pytest.raises(ValidationError):
        AdversarialSettings(**wrong)


# --- two processes


def one_of_two(rank, port, out):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    generator = nn.parallel.DistributedDataParallel(ToyGenerator())
    torch.save(two_steps(generator, generator.module, slice(2 * rank, 2 * rank + 2)), out / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def two_steps(network, generator, share) -> dict:
    adversary, weights = make_adversary(2, feature_matching=0), []
    for step in (1, 2):
        x = signals(seed=step)[share]
        y = network(x)
        loss = (x - y).square().mean()
        added, terms = adversary.generator_loss(step, x, y, loss, generator.last_layer)
        generator.zero_grad()
        (loss + added).backward()
        weights.append(terms["adaptive_weight"])
    gradient = generator.first.weight.grad
    return {"weights": torch.stack(weights), "gradient": gradient, **adversary.discriminators.state_dict()}


def test_two_processes_are_one_on_the_joined_batch(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    multiprocessing.spawn(one_of_two, (port, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    generator = ToyGenerator()
    expected = two_steps(generator, generator, slice(0, 4))
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5, msg=name)
