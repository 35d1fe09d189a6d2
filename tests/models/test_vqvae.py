"""The VQ-VAE with every setting: lengths, identity at initialization, gradients, and codes of single records."""

import pytest
import torch

from ecgvae.codebooks import CodebookSpec
from ecgvae.models import FAMILIES, build, parse_settings
from ecgvae.models.backbone import SIZES

VARIANTS = {
    "ema": {},
    "one codebook": {"codebooks": 1},
    "gradient": {"quantizer": {"decay": None}},
    "factorized": {"quantizer": {"code_dim": 4, "normalize": True}},
    "rotation": {"quantizer": {"gradient": "rotation"}},
    "scaled": {"signal": {"scale": 0.25}},
    "one lead at 500 Hz": {"signal": {"leads": ("II",), "rate": 500}},
    "one scale": {"backbone": {"kind": "conv", "strides": (5,), "encoder": {"widths": (32,), "dilations": ((1, 2),)},
                               "decoder": {"widths": (8,), "dilations": ((),)}}},
    "transformer": {"backbone": {"kind": "transformer", "hop": 6, "width": 32, "layers": 2, "heads": 2, "window": 5}},
}
KEYS = "family, signal, backbone, latent, codebooks, codebook_size, quantizer"
EXACT_VARIANTS = [name for name in VARIANTS if name != "transformer"]    # same bits in any batch
each_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


def random_signal(model, count=3, samples=120, seed=1):
    shape = (count, len(model.signal.coded), samples)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / 2


def test_output_has_the_length_of_the_input(tiny_settings, random_model):
    model = random_model(tiny_settings())
    for samples in range(1, 101):
        x = random_signal(model, 2, samples)
        frames = -(-samples // model.hop)
        with torch.no_grad():
            z, codes = model.encode(x), model.tokenize(x)
            assert z.shape == model.features(x).shape == (2, 8, frames)
            assert [row.shape for row in codes] == [(2, frames)] * len(model.codebook_specs)
            assert model.decode(z, samples).shape == model.detokenize(codes, samples).shape == x.shape
            assert model(x).signal.shape == x.shape


@pytest.mark.parametrize("leads", [("II",), ("I", "II", "V1"), None])
def test_untrained_with_a_wide_latent_is_the_identity(leads):
    spec = {"scale": 0.3} | ({"leads": leads} if leads else {})
    model = build(parse_settings({"family": "vqvae", "latent": 64, "signal": spec})).eval()
    x = random_signal(model, 2, 101)
    torch.testing.assert_close(model.decode(model.encode(x), 101), x)


@each_variant
def test_every_parameter_gets_a_gradient(tiny_settings, random_model, changes):
    model = random_model(tiny_settings(**changes)).train()
    x = random_signal(model, 6)
    result = model(x)
    ((result.signal - x).square().mean() + sum(result.losses.values())).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@each_variant
def test_bfloat16_gives_finite_numbers_in_full_precision(tiny_settings, random_model, changes):
    model = random_model(tiny_settings(**changes)).train()
    x = random_signal(model, 6)
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x)
        loss = (result.signal - x).square().mean() + sum(result.losses.values())
    loss.backward()
    assert result.signal.dtype == torch.float32
    assert all(value.dtype == torch.float32 for value in result.losses.values())
    assert result.signal.isfinite().all() and loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", EXACT_VARIANTS)
def test_codes_do_not_depend_on_training_mode_or_the_batch(tiny_settings, random_model, name):
    model = random_model(tiny_settings(**VARIANTS[name]))
    x = random_signal(model)
    with torch.no_grad():
        z = model.encode(x)
        assert torch.equal(model.train().encode(x), z)
        assert torch.equal(model.eval().encode(x[1:2]), z[1:2])
        codes = model.tokenize(torch.cat([x[:1], 9 * x[1:]]))
        assert all(torch.equal(a[:1], b) for a, b in zip(codes, model.tokenize(x[:1]), strict=True))
    torch.testing.assert_close(model.encode(x).detach(), z, atol=1e-4, rtol=1e-3)     # by torch's own convolution


def test_a_batch_of_64_has_the_codes_of_single_records(random_model):
    scales = {"widths": (64, 96), "dilations": ((1,), (1, 3))}
    model = random_model(parse_settings({"family": "vqvae", "latent": 32, "codebook_size": 256, "codebooks": 4,
                                         "backbone": {"kind": "conv", "encoder": scales, "decoder": scales}}))
    x = random_signal(model, 64, 500)
    with torch.inference_mode():
        codes = torch.stack(model.tokenize(x), 1)
        assert len(codes[:, -1].unique()) > 100
        for size in (1, 7):
            assert torch.equal(codes, torch.cat([torch.stack(model.tokenize(part), 1) for part in x.split(size)]))


@each_variant
def test_a_training_pass_decodes_item_i_from_its_first_codebooks(tiny_settings, random_model, changes):
    model = random_model(tiny_settings(**changes))
    q = len(model.codebook_specs)
    x = random_signal(model, 2 * q + 1)
    with torch.no_grad():
        result, codes = model(x), model.tokenize(x)
        assert result.groups == q
        for item in range(len(x)):
            expected = model.detokenize([row[item:item + 1] for row in codes[:item % q + 1]], x.shape[-1])
            torch.testing.assert_close(result.signal[item:item + 1], expected, atol=1e-4, rtol=1e-4)


def test_a_frame_depends_on_its_samples_and_the_context(tiny_settings, random_model):
    model = random_model(tiny_settings()).double()
    (context, _), hop = model.context, model.hop
    frame = context // hop + 2
    x = random_signal(model, 1, (2 * frame + 1) * hop).double().requires_grad_()
    model.encode(x)[..., frame].sum().backward()
    used = x.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert (used.min(), used.max()) == (frame * hop - context, (frame + 1) * hop - 1 + context)


def test_decoded_samples_depend_on_their_frame_and_the_context(tiny_settings, random_model):
    model = random_model(tiny_settings()).double()
    (_, context), hop = model.context, model.hop
    frame = context // hop + 2
    z = torch.randn(1, 8, 2 * frame + 1, dtype=torch.double, requires_grad=True)
    model.decode(z)[..., frame * hop:(frame + 1) * hop].sum().backward()
    used = z.grad.abs().sum((0, 1)).nonzero().squeeze(1) * hop
    assert (used.min(), used.max()) == (frame * hop - context, frame * hop + context)


def test_the_last_sample_is_repeated_to_fill_a_frame(tiny_settings, random_model):
    model = random_model(tiny_settings())
    x = random_signal(model, 2, 20)
    padded = torch.cat([x, x[..., -1:].expand(-1, -1, 4)], 2)
    with torch.no_grad():
        assert torch.equal(model.encode(x), model.encode(padded))


def test_codebook_specs(tiny_settings):
    model = build(tiny_settings(codebooks=5, codebook_size=64))
    assert model.codebook_specs == (CodebookSpec(6, 64),) * 5
    assert model.hop == 6


def test_all_leads_follow_from_the_coded_leads(tiny_settings):
    model = build(tiny_settings())
    x = random_signal(model)
    leads = dict(zip(model.signal.leads, model.all_leads(x).unbind(1), strict=True))
    torch.testing.assert_close(leads["III"], leads["II"] - leads["I"])
    torch.testing.assert_close(leads["aVR"], -(leads["I"] + leads["II"]) / 2)
    torch.testing.assert_close(leads["V6"], x[:, -1])


@pytest.mark.parametrize(("changes", "message"), [
    ({"latent": 10**9}, "model.latent: Input should be less than or equal to 16384 (got 1000000000)"),
    ({"latent": "wide"}, "model.latent: Input should be a valid integer, unable to parse string as an integer "
                         "(got 'wide')"),
    ({"widht": 3}, "model.widht: unknown key; wanted one of " + KEYS),
    ({"codebok_size": 8}, "model.codebok_size: unknown key; did you mean codebook_size?"),
    ({"quantizer": {"dead_code_threshold": 0.2, "revive": 0.1}},
     "model.quantizer: revive is the former name of dead_code_threshold; wanted only one of them"),
    ({"backbone": {"kind": "conv", "strides": (0, 2)}},
     "model.backbone.strides.0: Input should be greater than or equal to 1 (got 0)"),
    ({"backbone": {"kind": "conv", "strides": ()}},
     "model.backbone.strides: Tuple should have at least 1 item after validation, not 0 (got ())"),
    ({"backbone": {"kind": "conv", "strides": (64, 64, 2)}},
     "model.backbone: strides multiply to a hop of 8192; wanted at most 4096"),
    ({"backbone": {"kind": "conv", "strides": (4,)}},
     "model.backbone: encoder has 2 widths and 2 dilations; it must have one of each for the 1 strides"),
    ({"backbone": {"kind": "conv", "encoder": {"dilations": ((0,), ())}}},
     "model.backbone.encoder.dilations.0.0: Input should be greater than or equal to 1 (got 0)"),
    ({"backbone": {"kind": "transformer", "heads": 5}},
     "model.backbone: width is 144; wanted a multiple of twice the 5 heads"),
    ({"backbone": "lstm-small"},
     f"model.backbone: wanted one of conv, transformer, {', '.join(SIZES)}, or a block of settings (got 'lstm-small')"),
    ({"strides": (4, 2)}, "model.strides: unknown key; wanted one of " + KEYS),
    ({"quantizer": {"decay": 1}}, "model.quantizer.decay: Input should be less than 1 (got 1)"),
    ({"quantizer": {"kind": "fsq", "decay": 0.9}}, "model.quantizer.decay: unknown key; wanted one of kind"),
    ({"quantizer": "fsq", "codebook_size": 1021},
     "model: fsq with 1021 codes in 64 dimensions; wanted a product of at most 64 numbers from 3 to 16, such as 1024"),
    ({"signal": {"leads": ("I", "i")}}, "model.signal.leads: leads I, I; wanted every name once (got ('I', 'i'))"),
    ({"family": "gan"}, "model.family is 'gan'; wanted one of " + ", ".join(FAMILIES)),
    ({"family": ["vqvae"]}, "model.family is ['vqvae']; wanted one of " + ", ".join(FAMILIES)),
])
def test_errors_of_wrong_settings_name_the_key(changes, message):
    with pytest.raises(ValueError) as error:
        parse_settings({"family": "vqvae", **changes})
    assert str(error.value) == message


def test_settings_must_be_a_block():
    with pytest.raises(ValueError, match=r"^model is \[1\]; it must be a block of settings$"):
        parse_settings([1])
