"""Autoregressive priors: exact probabilities, samples from them, caches, prefixes and conditions."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ecgvae.codebooks import CodebookSpec
from ecgvae.conditions import ConditionSettings
from ecgvae.priors import ABSENT, SamplingSettings, build_prior, parse_prior_settings

KINDS = ("autoregressive", "pixelcnn")
SMALL = {"width": 16, "code_width": 8, "depth_width": 16, "depth_heads": 2}
SIZES = {"autoregressive": {"layers": 2, "heads": 2, "window": 8}, "pixelcnn": {"max_dilation": 4}}
ONE_HOP = (CodebookSpec(8, 5), CodebookSpec(8, 7))
TWO_HOPS = (CodebookSpec(8, 5), CodebookSpec(4, 7))
RESIDUAL_HOPS = (CodebookSpec(8, 3), CodebookSpec(8, 2), CodebookSpec(4, 3), CodebookSpec(4, 2))
CONDITION = ConditionSettings(labels=("NORM", "MI"), sex=True)


def random_prior(kind: str, codebooks: tuple[CodebookSpec, ...] = ONE_HOP, condition: ConditionSettings = CONDITION,
                 residual: bool = True):
    """A prior in float64 whose weights are all random."""
    torch.manual_seed(0)
    values = {"kind": kind, "condition": condition.model_dump(), "residual": residual, **SMALL, **SIZES[kind]}
    prior = build_prior(parse_prior_settings(values), codebooks).double().eval()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return prior


def random_codes(prior, count: int = 3, frames: int = 12) -> torch.Tensor:
    return torch.stack([torch.randint(slot.size, (count, frames)) for slot in prior.layout.slots], -1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codebooks", [ONE_HOP, TWO_HOPS, RESIDUAL_HOPS])
@pytest.mark.parametrize("residual", [True, False])
def test_probabilities_of_all_codes_sum_to_one(kind, codebooks, residual):
    """Every sequence of one frame, and of the second frame after it."""
    prior = random_prior(kind, codebooks, residual=residual)
    frames = torch.tensor(list(product(*(range(slot.size) for slot in prior.layout.slots))))
    first = frames[len(frames) // 3].expand(len(frames), -1)
    log_prob = prior.log_prob(torch.stack([first, frames], 1))
    assert float(log_prob[:, 1].sum(-1).exp().sum()) == pytest.approx(1)
    assert float(prior.log_prob(frames[:, None]).sum((1, 2)).exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_changes_no_probability_before_it(kind):
    prior = random_prior(kind, TWO_HOPS)
    codes = random_codes(prior)
    before = prior.log_prob(codes)
    for frame, slot in ((0, 0), (5, 1), (11, 2)):
        changed = codes.clone()
        changed[:, frame, slot] = (changed[:, frame, slot] + 1) % prior.layout.slots[slot].size
        difference = (prior.log_prob(changed) - before).abs().amax(0).flatten()
        position = frame * len(prior.layout.slots) + slot
        assert float(difference[:position].sum()) == 0 and difference[position] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_code_length(kind):
    prior = random_prior(kind, TWO_HOPS)
    codes, condition = random_codes(prior), torch.rand(3, CONDITION.width, dtype=torch.double)
    codes[1, -1, 1:] = ABSENT
    log_prob = prior.log_prob(codes, condition)
    assert bool((log_prob[1, -1, 1:] == 0).all())
    torch.testing.assert_close(prior.loss(codes, condition), -log_prob.sum() / (codes != ABSENT).sum())


@pytest.mark.parametrize("kind", KINDS)
def test_long_codes_have_the_probabilities_of_the_whole(kind, monkeypatch):
    """`log_prob` goes through long codes in parts, with the cache."""
    prior = random_prior(kind)
    codes = random_codes(prior, frames=40)
    whole = prior.log_prob(codes)
    monkeypatch.setattr("ecgvae.priors.autoregressive.LOG_PROB_FRAMES", 7)
    torch.testing.assert_close(prior.log_prob(codes), whole)


def uncached_samples(prior, frames: int, condition, uniform, guidance: float) -> torch.Tensor:
    """Samples code by code from the whole sequence so far, by the loss alone."""
    codes = torch.zeros(len(uniform), frames, len(prior.layout.slots), dtype=torch.long)
    for frame, slot in product(range(frames), range(codes.shape[-1])):
        logits = []
        for code in range(prior.layout.slots[slot].size):
            codes[:, frame, slot] = code
            conditional, unconditional = (prior.log_prob(codes[:, :frame + 1], vector)[:, frame, slot]
                                          for vector in (condition, None))
            logits.append(unconditional + guidance * (conditional - unconditional))
        cumulative = torch.stack(logits, -1).softmax(-1).cumsum(-1)
        codes[:, frame, slot] = (cumulative <= uniform[:, frame, slot, None] * cumulative[:, -1:]).sum(-1)
    return codes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_cached_samples_equal_uncached_ones(kind, guidance):
    prior = random_prior(kind, TWO_HOPS)
    condition = torch.rand(4, CONDITION.width, dtype=torch.double)
    uniform = torch.rand(4, 10, len(prior.layout.slots), generator=generator(), dtype=torch.double)
    samples = prior.sample(4, 10, condition, generator(), SamplingSettings(guidance=guidance))
    assert torch.equal(samples, uncached_samples(prior, 10, condition, uniform, guidance))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_frequencies_of_their_probabilities(kind):
    prior = random_prior(kind)
    frames = torch.tensor(list(product(range(5), range(7))))
    expected = prior.log_prob(frames[:, None]).sum((1, 2)).exp().detach().numpy().astype(np.float64)
    drawn = prior.sample(4000, 1, generator=generator())[:, 0]
    counts = np.bincount((drawn[:, 0] * 7 + drawn[:, 1]).numpy(), minlength=35)
    assert chisquare(counts, 4000 * expected / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_does_not_depend_on_the_others(kind):
    prior = random_prior(kind)
    assert torch.equal(prior.sample(5, 6, generator=generator())[:2], prior.sample(2, 6, generator=generator()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prefix_is_kept_and_continued(kind):
    prior = random_prior(kind)
    whole = prior.sample(3, 10, generator=generator())
    continued = prior.sample(3, 10, generator=generator(), given=whole[:, :6])
    assert torch.equal(continued, whole)        # the same random numbers, so the same continuation
    other = prior.sample(3, 10, generator=generator(1), given=whole[:, :6])
    assert torch.equal(other[:, :6], whole[:, :6]) and not torch.equal(other, whole)
    with pytest.raises(ValueError, match="wanted whole frames at the start of 3 samples of 4 frames"):
        prior.sample(3, 4, given=whole[:, :6])
    gap = whole[:, :6].clone()
    gap[0, 3, 1] = ABSENT
    with pytest.raises(ValueError, match="whole frames"):
        prior.sample(3, 10, given=gap)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_gets_a_gradient(kind):
    prior = random_prior(kind, TWO_HOPS).train()
    prior.loss(random_codes(prior), torch.rand(3, CONDITION.width, dtype=torch.double)).backward()
    assert not [name for name, parameter in prior.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_learns_a_rule(kind):
    """The second code of a frame is the first of the frame before: two bits less than at random."""
    torch.manual_seed(0)
    codebooks = (CodebookSpec(8, 4), CodebookSpec(8, 4))
    prior = build_prior(parse_prior_settings({"kind": kind, **SMALL, **SIZES[kind], "dropout": 0}), codebooks)
    optimizer = torch.optim.Adam(prior.parameters(), 0.01)
    for _ in range(150):
        first = torch.randint(4, (32, 9))
        codes = torch.stack([first[:, 1:], first[:, :-1]], -1)
        loss = prior.loss(codes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    log_prob = prior.eval().log_prob(codes)
    assert -log_prob[:, 1:, 0].mean() > 0.95 * np.log(4) and -log_prob[:, 1:, 1].mean() < 0.1


def test_vectors_of_codes_are_the_first_embeddings():
    """In one basis for all codebooks, so that sums of embeddings are as far apart as sums of the given vectors."""
    prior = random_prior("autoregressive")
    given = [torch.randn(5, 6), 0.1 * torch.randn(7, 6)]
    prior.prepare(given)
    for table in prior.embedding.tables:
        assert float(table.weight[:, :6].detach().square().mean()) == pytest.approx(1)
    frames = torch.tensor(list(product(range(5), range(7))))
    found, wanted = prior.embedding.frames(frames), given[0][frames[:, 0]] + given[1][frames[:, 1]]
    distances = [torch.cdist(vectors.double(), vectors.double()) for vectors in (found.detach(), wanted)]
    torch.testing.assert_close(*(table / table.max() for table in distances), rtol=1e-5, atol=1e-6)


def test_only_the_sums_of_residual_codes_matter():
    """Codes whose vectors have the same sum are the same past, of later frames and of the codes after them."""
    prior = random_prior("autoregressive", (CodebookSpec(8, 4), CodebookSpec(8, 4), CodebookSpec(8, 5)))
    first, second, _ = prior.embedding.tables
    with torch.no_grad():
        second.weight.copy_(first.weight)
        prior.embedding.scales[1] = prior.embedding.scales[0]
    codes = random_codes(prior)
    swapped = codes[..., [1, 0, 2]]
    assert not torch.equal(codes, swapped)
    before, after = prior.embedding.frames(codes), prior.embedding.frames(swapped)
    torch.testing.assert_close(before, after)
    trunk = [prior.trunk(prior.trunk_inputs(frames, None)) for frames in (codes, swapped)]
    torch.testing.assert_close(*trunk)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="prior.kind is 'autoregresive'; did you mean autoregressive"):
        parse_prior_settings({"kind": "autoregresive"})
    with pytest.raises(ValueError, match=r"prior: ?layers|prior.layers"):
        parse_prior_settings({"kind": "autoregressive", "layers": 0})
    with pytest.raises(ValueError, match="a prior knows labels, age and sex"):
        random_prior("autoregressive", condition=ConditionSettings(leads=("II",)))
    prior = random_prior("autoregressive")
    with pytest.raises(ValueError, match="codes that the prior's codebooks do not have"):
        prior.log_prob(torch.full((1, 2, 2), 6))
    with pytest.raises(ValueError, match=r"wanted \(batch, frames, 2\)"):
        prior.log_prob(torch.zeros(1, 2, 3, dtype=torch.long))
