"""Masked diffusion: the bound against enumeration, samples against exact frequencies, in-painting, guidance."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvae.codebooks import CodebookSpec
from ecgvae.conditions import ConditionSettings
from ecgvae.priors import ABSENT, KINDS, SamplingSettings, build_prior, parse_prior_settings
from ecgvae.priors.unmasking import spread_keys, step_counts

SIZES = (3, 2)
TINY = {"kind": "masked", "width": 16, "heads": 2, "layers": 1, "window": 4, "code_width": 8, "depth_width": 16,
        "depth_heads": 2, "dropout": 0.0}


def build(sizes=SIZES, seed=0, scale=0.5, **changes):
    """A small prior in double precision with random weights everywhere, as after training."""
    torch.manual_seed(seed)
    prior = build_prior(parse_prior_settings({**TINY, **changes}), tuple(CodebookSpec(8, size) for size in sizes))
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_(0, scale)
    return prior.double().eval()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def all_records(frames, sizes=SIZES):
    """Every record of a number of frames."""
    return torch.tensor(list(itertools.product(*(range(size) for size in sizes * frames)))).view(-1, frames, len(sizes))


@torch.no_grad()
def order_log_probs(prior, codes, order, condition=None):
    """The log-probability (b, n, s) of codes drawn in an order of groups of frames, from its definition."""
    visible, result = torch.full_like(codes, ABSENT), torch.zeros(codes.shape, dtype=torch.float64)
    for group in order:
        trunk = prior.trunk(visible, condition)
        for frame in group:
            vectors = prior.embedding(codes[:, frame:frame + 1])[:, 0]
            for slot, logits in enumerate(prior.depth(trunk[:, frame], vectors, prior.embedding)):
                code = codes[:, frame, slot]
                picked = logits.log_softmax(-1).gather(1, code.clamp(min=0).unsqueeze(1))[:, 0]
                result[:, frame, slot] = picked * (code != ABSENT)
        for frame in group:
            visible[:, frame] = codes[:, frame]
    return result


def assert_frequencies(samples, probabilities, frames, sizes=SIZES):
    """Chi-square of samples against the probabilities of `all_records`; fails by chance once in 10,000 runs."""
    index = torch.zeros(len(samples), dtype=torch.long)
    for code, size in zip(samples.flatten(1).unbind(1), sizes * frames, strict=True):
        index = index * size + code
    expected = probabilities * len(samples)
    observed = torch.bincount(index, minlength=len(expected))
    rare = expected < 5
    expected = torch.cat([expected[~rare], expected[rare].sum(0, keepdim=True) + 1e-9])
    observed = torch.cat([observed[~rare], observed[rare].sum(0, keepdim=True)])
    statistic, freedom = ((observed - expected) ** 2 / expected).sum().item(), len(expected) - 1
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)


def test_it_is_a_kind_of_prior_without_exact_probabilities():
    prior = build()
    assert "masked" in KINDS and not prior.is_exact
    with pytest.raises(ValueError, match="has no exact probabilities"):
        prior.log_prob(torch.zeros(1, 2, 2, dtype=torch.long))


def test_loss_of_a_uniform_predictor_is_the_logarithm_of_the_sizes():
    prior = build()
    with torch.no_grad():
        for parameter in (*prior.depth.to_code.parameters(), *prior.depth.biases):
            parameter.zero_()
    codes = torch.stack([torch.randint(0, size, (5, 7)) for size in SIZES], -1)
    expected = (math.log(SIZES[0]) + math.log(SIZES[1])) / 2
    assert prior.loss(codes).item() == pytest.approx(expected, abs=1e-6)
    assert prior.bound(codes).mean().item() == pytest.approx(-expected, abs=1e-6)


@pytest.mark.parametrize("absent", [False, True])
def test_loss_has_the_mean_over_all_orders_of_frames(absent):
    """One frame after the other in a random order: the order-agnostic bound that the loss estimates."""
    prior = build(scale=0.8)
    codes = torch.tensor([[[2, 1], [0, 0], [1, 1]]])
    if absent:
        codes[0, 2, 1] = ABSENT
    orders = [[(frame,) for frame in order] for order in itertools.permutations(range(3))]
    exact = -torch.stack([order_log_probs(prior, codes, order) for order in orders]).sum() / len(orders)
    exact = exact / (codes != ABSENT).sum()
    torch.manual_seed(0)
    with torch.no_grad():
        losses = torch.stack([prior.loss(codes.expand(300, -1, -1)) for _ in range(20)])
    assert abs(losses.mean() - exact) < 4 * losses.std() / math.sqrt(len(losses)) + 1e-4
    assert losses.std() < 0.05 * exact


@pytest.mark.parametrize("steps", [1, 2])
def test_bound_is_a_normalized_distribution(steps):
    prior, records = build(sizes=(2, 2)), all_records(3, (2, 2))
    totals = torch.cat([prior.bound(record[None], None, seeded(5), steps).sum((1, 2)) for record in records])
    assert totals.double().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_bound_follows_the_order_and_the_counts_of_steps():
    prior = build(sizes=(5,))
    codes = torch.tensor([[[0], [4], [2], [1], [3], [3], [ABSENT]]])
    keys = spread_keys(7, torch.rand(1, generator=seeded(), dtype=torch.float64))[0]
    order = [frame for frame in keys.argsort().tolist() if frame != 6]
    counts = step_counts(torch.tensor([6]), 3)[0].tolist()
    groups = [[order.pop(0) for _ in range(count)] for count in counts]
    expected = order_log_probs(prior, codes, groups)
    assert torch.allclose(prior.bound(codes, None, seeded(), 3).double(), expected, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2])
def test_samples_have_the_exact_frequencies(steps):
    """The first of two frames is frame 0 if the shift is below 1 minus the golden ratio, else frame 1."""
    prior, records = build(scale=0.7), all_records(2)
    share = 1 - (5 ** 0.5 - 1) / 2
    groups = [[(0, 1)], [(0, 1)]] if steps == 1 else [[(0,), (1,)], [(1,), (0,)]]
    first, second = (order_log_probs(prior, records, group).sum((1, 2)).exp() for group in groups)
    samples = prior.sample(20_000, 2, generator=seeded(), settings=SamplingSettings(steps=steps))
    assert_frequencies(samples, share * first + (1 - share) * second, 2)


TOY_RECORDS = torch.tensor([(a, (a + b) % 3) for a in range(3) for b in range(2)]).unsqueeze(1).repeat(1, 4, 1)


@pytest.fixture(scope="module")
def trained():
    """A prior trained on six records of 4 equal frames, which are (a, a) or (a, a + 1) for a in 0 to 2."""
    torch.manual_seed(0)
    prior = build_prior(parse_prior_settings({**TINY, "width": 32, "given": 0.2}), (CodebookSpec(8, 3),) * 2)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 120)
        optimizer.zero_grad()
        prior.loss(TOY_RECORDS.repeat(8, 1, 1)).backward()
        optimizer.step()
    return prior.eval()


@pytest.mark.parametrize(("order", "steps"), [("uniform", 4), ("uniform", 2), ("confidence", 4)])
def test_trained_samples_have_the_frequencies_of_the_data(trained, order, steps):
    """In 2 steps the first draws one frame, which determines the others."""
    samples = trained.sample(3000, 4, generator=seeded(), settings=SamplingSettings(steps=steps, order=order))
    is_constant = (samples == samples[:, :1]).flatten(1).all(1)
    assert is_constant.float().mean() > 0.95
    kinds = samples[is_constant][:, 0, 0] * 3 + samples[is_constant][:, 0, 1]
    shares = torch.bincount(kinds, minlength=9) / len(kinds)
    assert torch.allclose(shares, torch.tensor([1, 1, 0, 0, 1, 1, 1, 0, 1]) / 6, atol=0.05)


def test_codes_of_a_frame_are_drawn_in_turn_even_in_one_step(trained):
    """Independent codes would give the pair (a, a - 1), which does not exist, a third of the time."""
    samples = trained.sample(2000, 4, generator=seeded(), settings=SamplingSettings(steps=1))
    assert ((samples[..., 1] - samples[..., 0]) % 3 == 2).float().mean() < 0.02


def test_loss_of_the_trained_prior_reaches_the_entropy(trained):
    torch.manual_seed(1)
    with torch.no_grad():
        assert trained.loss(TOY_RECORDS.repeat(100, 1, 1)).item() == pytest.approx(math.log(6) / 8, abs=0.03)
    bound = -trained.bound(TOY_RECORDS.repeat(20, 1, 1), steps=4).mean().item()
    assert bound == pytest.approx(math.log(6) / 8, abs=0.03)


@pytest.mark.parametrize("span", [slice(0, 1), slice(3, 4), slice(1, 3)])
def test_a_given_frame_determines_the_others(trained, span):
    given = torch.full((50, 4, 2), ABSENT)
    given[:, span] = torch.tensor([2, 0])
    assert (trained.sample(50, 4, generator=seeded(), given=given) == torch.tensor([2, 0])).float().mean() > 0.97


def test_given_first_slots_determine_the_second(trained):
    given = TOY_RECORDS.repeat(50, 1, 1)
    given[..., 1] = ABSENT
    samples = trained.sample(300, 4, generator=seeded(), given=given)
    assert torch.equal(samples[..., 0], given[..., 0])
    offset = (samples[..., 1] - samples[..., 0]) % 3
    assert (offset == 2).float().mean() < 0.02 and (offset == offset[:, :1]).float().mean() > 0.95


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 12), st.sampled_from(["uniform", "confidence"]),
       st.floats(0, 1), st.integers(0, 1 << 30))
def test_given_codes_are_kept_and_the_others_drawn(frames, length, steps, order, share, seed):
    generator = seeded(seed)
    codes = torch.stack([torch.randint(0, size, (3, min(frames, length)), generator=generator) for size in SIZES], -1)
    codes[torch.rand(codes.shape, generator=generator) < share] = ABSENT
    samples = build().sample(3, frames, generator=generator, given=codes,
                             settings=SamplingSettings(steps=steps, order=order))
    assert samples.shape == (3, frames, 2)
    assert ((samples >= 0) & (samples < torch.tensor(SIZES))).all()
    kept = samples[:, :codes.shape[1]]
    assert torch.equal(kept[codes != ABSENT], codes[codes != ABSENT])


@pytest.mark.parametrize("order", ["uniform", "confidence"])
def test_the_seed_decides_samples_whatever_their_number(order):
    prior, options = build(), SamplingSettings(steps=5, order=order)
    samples = prior.sample(6, 20, generator=seeded(), settings=options)
    assert torch.equal(samples, prior.sample(6, 20, generator=seeded(), settings=options))
    assert torch.equal(samples[:2], prior.sample(2, 20, generator=seeded(), settings=options))
    assert not torch.equal(samples, prior.sample(6, 20, generator=seeded(1), settings=options))


@pytest.mark.parametrize("order", ["uniform", "confidence"])
@pytest.mark.parametrize(("steps", "evaluations"), [(1, 1), (7, 7), (50, 20)])
def test_a_step_is_one_evaluation_and_draws_every_frame_once(monkeypatch, order, steps, evaluations):
    prior, seen = build(), []
    trunk = prior.trunk
    monkeypatch.setattr(prior, "trunk", lambda codes, condition: seen.append(codes.clone()) or trunk(codes, condition))
    samples = prior.sample(2, 20, generator=seeded(), settings=SamplingSettings(steps=steps, order=order))
    assert len(seen) == evaluations
    states = torch.stack([*seen, samples])
    is_drawn = states != ABSENT
    assert torch.equal(is_drawn.any(-1), is_drawn.all(-1))      # frames are whole
    assert is_drawn[-1].all() and not is_drawn[0].any()
    assert torch.equal(states[:-1][is_drawn[:-1]], states[1:][is_drawn[:-1]])       # and never drawn again
    counts = is_drawn.all(-1).sum(-1).diff(dim=0)
    assert torch.equal(counts.T, step_counts(torch.tensor([20, 20]), steps)[:, :evaluations])


def test_confidence_draws_the_most_certain_frames_first(monkeypatch):
    prior, seen = build(), []
    trunk, confidence = prior.trunk, torch.tensor([[.1, .9, .3, .8, .5]])
    monkeypatch.setattr(prior, "confidence", lambda trunk, settings: confidence)
    monkeypatch.setattr(prior, "trunk", lambda codes, condition: seen.append(codes.clone()) or trunk(codes, condition))
    prior.sample(1, 5, generator=seeded(), settings=SamplingSettings(steps=5, order="confidence"))
    assert [(codes[0, :, 0] != ABSENT).nonzero().flatten().tolist() for codes in seen] == [
        [], [1], [1, 3], [1, 3, 4], [1, 2, 3, 4]]


def test_confidence_is_the_probability_of_the_most_probable_first_code():
    prior = build()
    trunk = torch.randn(1, 2, 3, 16, dtype=torch.float64)
    logits = next(prior.depth(trunk[0].flatten(0, 1), torch.zeros(6, 2, 8, dtype=torch.float64), prior.embedding))
    expected = logits.softmax(-1).max(-1).values.view(2, 3)
    assert torch.allclose(prior.confidence(trunk, SamplingSettings()), expected)


def test_one_code_is_left_of_top_k_1():
    prior = build()
    samples = prior.sample(200, 1, generator=seeded(), settings=SamplingSettings(top_k=1))
    assert len(samples.unique(dim=0)) == 1 < len(prior.sample(200, 1, generator=seeded()).unique(dim=0))


CONDITION = ConditionSettings(labels=("MI", "NORM"), sex=True)


def test_every_parameter_gets_a_gradient():
    prior = build(condition=CONDITION, given=0.5, dropout=0.1, corruption=0.1).train()
    torch.manual_seed(0)
    codes = torch.stack([torch.randint(0, size, (32, 9)) for size in SIZES], -1)
    prior.loss(codes, torch.tensor([CONDITION.vector(["MI"], sex="male")] * 32, dtype=torch.float64)).backward()
    assert not [name for name, parameter in prior.named_parameters() if not parameter.grad.abs().sum() > 0]


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guided_samples_have_the_exact_frequencies(guidance):
    """Of each code, the probabilities are those with the condition to the power g times those without to 1 - g."""
    prior = build(condition=CONDITION)
    with torch.no_grad():
        prior.condition_embedding.out.weight.mul_(10)
        prior.depth.from_trunk.weight.mul_(6)
    condition = torch.tensor([CONDITION.vector(["MI"], sex="male")] * 5000, dtype=torch.float64)
    records = all_records(1)
    conditional, unconditional = (order_log_probs(prior, records, [(0,)], vector).view(*SIZES, 2)
                                  for vector in (condition[:len(records)], None))
    logits = guidance * conditional + (1 - guidance) * unconditional
    probabilities = logits[..., 0].softmax(0) * logits[..., 1].softmax(1)
    samples = prior.sample(5000, 1, condition, seeded(), SamplingSettings(guidance=guidance))
    assert_frequencies(samples, probabilities.flatten(), 1)
    if guidance == 1:
        assert torch.allclose(probabilities, conditional.sum(-1).exp())


def test_condition_changes_the_bound_and_the_samples():
    prior = build(condition=CONDITION)
    condition = torch.tensor([CONDITION.vector(["MI"], sex="male")] * 2, dtype=torch.float64)
    codes = torch.zeros(2, 5, 2, dtype=torch.long)
    assert not torch.allclose(prior.bound(codes, condition, seeded()), prior.bound(codes, None, seeded()))
    with pytest.raises(ValueError, match="wanted None"):
        build().sample(2, 5, condition)


@pytest.mark.parametrize(("given", "message"), [
    (torch.zeros(2, 6, 2, dtype=torch.long), "wanted at most 5 frames of 2 samples"),
    (torch.zeros(3, 5, 2, dtype=torch.long), "wanted at most 5 frames of 2 samples"),
    (torch.zeros(2, 5, 1, dtype=torch.long), "wanted .batch, frames, 2."),
    (torch.full((2, 5, 2), 2), "codes that the prior's codebooks do not have")])
def test_given_codes_that_do_not_fit_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        build().sample(2, 5, given=given)


def test_training_counts_the_codes_that_the_network_does_not_see(monkeypatch):
    prior, seen = build(given=0.7).train(), []
    trunk, log_probs = prior.trunk, torch.zeros(64, 6, 2, requires_grad=True)
    monkeypatch.setattr(prior, "trunk", lambda codes, condition: seen.append(codes) or trunk(codes, condition))
    monkeypatch.setattr(prior.depth, "log_probs", lambda rows, codes, embedding: log_probs[(seen[0] == ABSENT).any(-1)])
    codes = torch.stack([torch.randint(0, size, (64, 6)) for size in SIZES], -1)
    prior.loss(codes).backward()
    is_hidden = seen[0] == ABSENT
    assert torch.equal(log_probs.grad != 0, is_hidden) and is_hidden.flatten(1).any(1).all()
    assert torch.equal(seen[0][~is_hidden], codes[~is_hidden])
    assert (is_hidden.any(-1) & ~is_hidden.all(-1)).any()       # frames whose first codes are given
