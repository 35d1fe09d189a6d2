"""Autoencoders with a continuous latent: shapes, losses, samples and conditions."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ecgvae import checkpoint
from ecgvae.conditions import Conditioning, ConditionSettings
from ecgvae.models import build, parse_settings

LABELLED = {"labels": ("NORM", "MI"), "age": True, "sex": True}
VARIANTS = {
    "ae": {"family": "ae"},
    "vae": {"family": "vae"},
    "fixed likelihood": {"family": "vae", "likelihood_std": 0.03},
    "labels": {"family": "cvae", "condition": LABELLED},
    "leads": {"family": "cvae", "condition": {"leads": ("II", "aVR")}},
    "both": {"family": "cvae", "condition": {**LABELLED, "leads": ("I", "II")}},
}
each_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
each_backbone = pytest.mark.parametrize("backbone", ["conv-tiny", "transformer-tiny"])
each_span = pytest.mark.parametrize("span", [1, 5])


def vae_settings(**changes):
    defaults = {"backbone": "conv-tiny", "latent": 6, "frame_channels": 4, "signal": {"scale": 0.25}}
    return parse_settings({**defaults, **changes})


def random_signal(count=3, leads=8, samples=120, seed=1):
    return torch.randn(count, leads, samples, generator=torch.Generator().manual_seed(seed)) / 2


def seeded_generator(seed=0):
    return torch.Generator().manual_seed(seed)


@each_variant
@each_backbone
@each_span
def test_output_has_the_length_of_the_input(changes, backbone, span):
    model = build(vae_settings(**changes, backbone=backbone, span=span)).eval()
    assert model.hop == model.total_hop == 8 * span and model.codebook_specs == ()
    for samples in (1, 7, 8, 41, 120):
        x = random_signal(2, samples=samples)
        with torch.no_grad():
            z = model.encode(x)
            assert z.shape == model.features(x).shape == (2, 6, math.ceil(samples / (8 * span)))
            (y,) = model.reconstructions(x)
            assert y.shape == x.shape == model(x).signal.shape


@each_variant
@each_span
def test_every_parameter_gets_a_gradient(random_model, changes, span):
    model = random_model(vae_settings(**changes, span=span)).train()
    x = random_signal(8)
    has_labels = changes.get("condition", {}).get("labels")
    result = model(x, None, Conditioning(torch.ones(8, 7))) if has_labels else model(x)
    ((result.signal - x).square().mean() + sum(result.losses.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@each_variant
def test_bfloat16_gives_finite_losses_in_full_precision(random_model, changes):
    model = random_model(vae_settings(**changes)).train()
    x = random_signal()
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x)
    loss = (result.signal - x).square().mean() + sum(result.losses.values())
    loss.backward()
    assert result.signal.dtype == torch.float32 and loss.isfinite()
    assert all(value.dtype == torch.float32 for value in result.losses.values())
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


@each_variant
def test_encoding_does_not_depend_on_training_mode_or_randomness(random_model, changes):
    model = random_model(vae_settings(**changes))
    x = random_signal()
    with torch.no_grad():
        z = model.encode(x)
        assert torch.equal(model.train().encode(x), z)
        torch.testing.assert_close(model.eval().encode(x[1:2]), z[1:2], rtol=1e-4, atol=1e-4)


@each_variant
def test_a_loaded_model_gives_the_same_reconstruction(random_model, changes, tmp_path):
    model = random_model(vae_settings(**changes, span=2))
    loaded = checkpoint.load(checkpoint.save(model, tmp_path / "model"))
    x = random_signal()
    with torch.no_grad():
        (y,), (y_loaded,) = model.reconstructions(x), loaded.reconstructions(x)
    assert torch.equal(y, y_loaded)
    if changes["family"] != "ae":
        assert torch.equal(model.log_variance, loaded.log_variance)


@each_span
def test_changes_reach_no_further_than_the_context(random_model, span):
    model = random_model(vae_settings(family="vae", span=span))
    x = random_signal(1, samples=400)
    encoding, decoding = model.context
    with torch.no_grad():
        z, changed = model.encode(x), x.clone()
        changed[..., 200:] += 1
        affected = (model.encode(changed) - z).abs().amax((0, 1)) > 1e-3
        first = int(affected.nonzero()[0]) * model.hop
        assert 200 - encoding - model.hop < first <= 200
        frame = z.shape[-1] // 2
        changed_latent = z.clone()
        changed_latent[..., frame] += 1
        affected = ((model.decode(changed_latent) - model.decode(z)).abs().amax((0, 1)) > 1e-3).nonzero()
        assert frame * model.hop - decoding <= int(affected[0])
        assert int(affected[-1]) < (frame + 1) * model.hop + decoding


@pytest.mark.parametrize("family", ["ae", "vae"])
def test_untrained_with_a_wide_latent_is_the_identity(family):
    model = build(parse_settings({"family": family, "backbone": "conv-small", "latent": 64})).eval()
    x = random_signal(2, samples=101)
    (y,) = model.reconstructions(x)
    torch.testing.assert_close(y, x)


def test_losses_are_the_negative_elbo_per_element():
    model = build(vae_settings(family="vae", likelihood_std=0.3)).eval()
    x, target = random_signal(seed=1, samples=45), random_signal(seed=2, samples=45)
    torch.manual_seed(5)
    result = model(x, target)
    torch.manual_seed(5)
    with torch.no_grad():
        mean, log_variance = model.merge_frames(model.encoder(model.pad_to_frames(x) / 0.25)).chunk(2, 1)
        q = Normal(mean, (log_variance / 2).exp())
        decoded = model.decode(mean + q.stddev * torch.randn(mean.shape), 45)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum((1, 2)).mean()
    torch.testing.assert_close(result.signal, decoded)
    torch.testing.assert_close(result.losses["nll"], -Normal(decoded, 0.3).log_prob(target).mean())
    torch.testing.assert_close(result.losses["kl"], kl / x[0].numel())
    torch.testing.assert_close(result.stats["nats_per_second"], kl / 0.45)


def test_kl_below_the_free_bits_has_no_gradient():
    plain = build(vae_settings(family="vae")).eval()
    with_free_bits = build(vae_settings(family="vae", free_bits=1e3)).eval()
    with_free_bits.load_state_dict(plain.state_dict())
    x = random_signal()
    torch.manual_seed(0)
    before = plain(x)
    torch.manual_seed(0)
    after = with_free_bits(x)
    assert before.losses["kl"] > 0 and after.losses["kl"] == 1e3 * 6 * 15 / x[0].numel()
    assert before.stats["nats_per_second"] == after.stats["nats_per_second"]
    after.losses["kl"].backward()
    assert all(p.grad is None or not p.grad.any() for p in with_free_bits.encoder.parameters())
    before.losses["kl"].backward()
    assert any(p.grad.any() for p in plain.encoder.parameters())


@each_span
def test_samples_are_decoded_draws_of_the_prior(random_model, span):
    model = random_model(vae_settings(family="vae", span=span))
    y = model.sample(3, 101, seeded_generator(4))
    z = torch.randn(3, 6, math.ceil(101 / model.hop), generator=seeded_generator(4))
    with torch.no_grad():
        torch.testing.assert_close(y, model.decode(z, 101))
    assert y.shape == (3, 8, 101)


def test_one_lead_at_another_rate():
    model = build(vae_settings(family="vae", signal={"leads": ("II",), "rate": 500}, span=4))
    assert model(random_signal(2, 1, 333)).signal.shape == (2, 1, 333)


@pytest.mark.parametrize("changes", [VARIANTS["labels"], VARIANTS["leads"], VARIANTS["both"]])
def test_the_condition_changes_latent_and_signal(random_model, changes):
    model = random_model(vae_settings(**changes))
    x = random_signal()
    condition = Conditioning(torch.randn(3, 7, generator=seeded_generator()) if model.condition.part_widths else None,
                             random_signal(leads=2, seed=8) if model.condition.leads else None)
    plain = model.given_condition(x)
    with torch.no_grad():
        z = model.encode(x)
        assert torch.equal(z, model.encode(x, plain))
        assert not torch.allclose(z, model.encode(x, condition), atol=1e-3)
        assert not torch.allclose(model.decode(z, 120, plain), model.decode(z, 120, condition), atol=1e-3)
        first, second = (model.sample(3, 120, seeded_generator(), c) for c in (plain, condition))
        assert not torch.allclose(first, second, atol=1e-3)


def test_given_leads_follow_from_the_coded_leads():
    model = build(vae_settings(family="cvae", condition={"leads": ("V2", "aVR", "III")}))
    x = random_signal()
    lead_i, lead_ii, v2 = x[:, 0], x[:, 1], x[:, model.signal.coded.index("V2")]
    torch.testing.assert_close(model.given_leads(x), torch.stack([v2, -(lead_i + lead_ii) / 2, lead_ii - lead_i], 1))
    with pytest.raises(ValueError, match="no signal of the given leads; wanted V2, aVR, III"):
        model.decode(model.encode(x), 120)


def test_a_condition_of_leads_alone_accepts_an_empty_vector():
    model, x = build(vae_settings(**VARIANTS["leads"])).train(), random_signal()
    condition = Conditioning(torch.zeros(3, 0), model.given_leads(x))
    torch.manual_seed(0)
    y = model(x, None, condition).signal
    torch.manual_seed(0)
    assert torch.equal(y, model(x).signal)


def test_condition_vectors():
    condition = ConditionSettings(**LABELLED)
    assert condition.vector(["MI", "CD"], 75, "female") == [0, 1, 1, 0.5, 1, 1, 1]
    assert condition.vector(["CD"], 300, "male") == [0, 0, 1, 0.8, 1, 0, 1]
    assert condition.vector() == [0] * 7
    with pytest.raises(ValueError, match="sex is x; wanted male or female"):
        condition.vector(sex="x")


def test_condition_dropout_has_the_right_shares():
    model = build(vae_settings(family="cvae", condition={**LABELLED, "dropout": 0.2}))
    torch.manual_seed(0)
    kept = model.condition.drop(torch.ones(20_000, 7))
    labels, age, sex = kept[:, :3], kept[:, 3:5], kept[:, 5:]
    for part in (labels, age, sex):
        assert (part == part[:, :1]).all()      # a part is dropped as a whole
        assert part[:, 0].mean() == pytest.approx(0.64, abs=0.02)
    assert (kept.sum(1) == 0).float().mean() == pytest.approx(0.2 + 0.8 * 0.2**3, abs=0.02)
    x, condition = random_signal(), Conditioning(torch.ones(3, 7))
    model.eval()
    torch.manual_seed(0)
    y = model(x, None, condition).signal
    torch.manual_seed(0)
    assert torch.equal(y, model(x, None, condition).signal)


@pytest.mark.parametrize("condition, message", [
    ({}, "model.condition: condition is empty"),
    ({"leads": ("MLII", "II")}, "wanted every name once"),
    ({"leads": ("V9",)}, "condition.leads has V9; wanted some of the model's leads"),
    ({"lead": ("II",)}, "model.condition.lead"),
])
def test_errors_of_wrong_conditions_are_one_line(condition, message):
    with pytest.raises(ValueError, match=message) as error:
        vae_settings(family="cvae", condition=condition)
    assert "\n" not in str(error.value)


def test_wrong_likelihood_stds_are_refused():
    for std in (0, -1, "guessed", math.nan):
        with pytest.raises(ValueError, match="model.likelihood_std: "):
            vae_settings(family="vae", likelihood_std=std)


def test_training_fits_one_batch():
    torch.manual_seed(0)
    model = build(vae_settings(family="vae", latent=16)).train()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    phase = 2 * math.pi * torch.rand(4, 8, 1, generator=seeded_generator())
    x = torch.sin(phase + torch.arange(160) / torch.arange(4, 8).view(4, 1, 1)) / 2
    for _ in range(100):
        losses = model(x).losses
        optimizer.zero_grad()
        (losses["nll"] + losses["kl"]).backward()
        optimizer.step()
    with torch.no_grad():
        (y,) = model.eval().reconstructions(x)
    assert ((x - y).square().sum() / x.square().sum()).sqrt() < 0.25
