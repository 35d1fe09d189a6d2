"""VQ-VAE-2: codebooks of two and three levels, conditioning on the coarser codes, and chunks of long records."""

from dataclasses import astuple

import numpy as np
import pytest
import torch

import ecgvae.tokenizer
from ecgvae import checkpoint
from ecgvae.batch import detokenize_files, tokenize_files
from ecgvae.data.tokens import open_tokens
from ecgvae.models import build
from ecgvae.signal import LEADS_12, Record, read_record, write_record
from ecgvae.tokenizer import Tokenizer

COARSE_LEVELS = {
    "two": ({"ratio": 4, "codebooks": 2, "codebook_size": 16},),
    "three": ({"ratio": 4, "codebook_size": 32}, {"ratio": 2, "codebooks": 2, "codebook_size": 16}),
    "three of odd ratios": ({"ratio": 3, "codebook_size": 32}, {"ratio": 5, "codebook_size": 16}),
}
each_hierarchy = pytest.mark.parametrize("coarse", COARSE_LEVELS.values(), ids=COARSE_LEVELS)
each_backbone = pytest.mark.parametrize("backbone", ["conv", "transformer"])


@pytest.fixture(scope="module")
def make_model(tiny_settings, random_model):
    def model(coarse=COARSE_LEVELS["two"], backbone="conv", **changes):
        return random_model(tiny_settings("vqvae2", backbone, coarse=coarse, **changes))
    return model


def random_signal(count=2, samples=480, leads=8, seed=1):
    return torch.randn(count, leads, samples, generator=torch.Generator().manual_seed(seed)) / 2


# --- codebooks


@pytest.mark.parametrize(("levels", "specs"), [
    ("two", ((24, 16), (24, 16), (6, 32), (6, 32))),
    ("three", ((48, 16), (48, 16), (24, 32), (6, 32), (6, 32))),
    ("three of odd ratios", ((90, 16), (18, 32), (6, 32), (6, 32))),
])
@each_backbone
def test_codebooks_are_ordered_from_coarse_to_fine(make_model, levels, specs, backbone):
    model = make_model(COARSE_LEVELS[levels], backbone)
    assert list(map(astuple, model.codebook_specs)) == list(specs)
    assert (model.hop, model.total_hop) == (6, specs[0][0])
    for samples in (1, 6, 7, 89, 91, 240, 397):
        with torch.no_grad():
            codes = model.tokenize(random_signal(samples=samples))
            assert [row.shape for row in codes] == [(2, -(-samples // hop)) for hop, _ in specs]
            for count in range(1, len(specs) + 1):
                whole = model.detokenize(codes[:count])     # as long as the codes, where no length is given
                assert whole.shape[-1] == codes[count - 1].shape[-1] * specs[count - 1][0]
                assert model.detokenize(codes[:count], samples).shape == (2, 8, samples)


def test_the_coarsest_hop_has_a_maximum(tiny_settings):
    with pytest.raises(ValueError, match=r"^model: coarse has ratios that make a hop of 6144; wanted at most 4096$"):
        tiny_settings("vqvae2", coarse=({"ratio": 32}, {"ratio": 32}))


# --- conditioning


@each_hierarchy
@each_backbone
def test_fine_codes_depend_on_the_coarser_codes(make_model, coarse, backbone):
    model = make_model(coarse, backbone)
    n_coarsest = coarse[-1].get("codebooks", 1)
    with torch.no_grad():
        before, quantizer = model.tokenize(random_signal()), model.coarse[-1].quantizer
        for part in quantizer.quantizers:
            part.codebook.embeddings.copy_(part.codebook.embeddings.roll(1, 0) * 2)      # the latent gets other codes
        after = model.tokenize(random_signal())
    assert len(before) == len(after) > n_coarsest
    for old, new in zip(before[n_coarsest:], after[n_coarsest:], strict=True):
        assert 0.2 < (old != new).float().mean()


def test_an_untrained_level_subtracts_and_adds_back_the_prediction(tiny_settings):
    torch.manual_seed(0)
    model = build(tiny_settings("vqvae2", latent=48)).eval()
    x = random_signal(samples=96)
    with torch.no_grad():
        latents, inputs = model.latents(x), []

        def keep_latent(index, prediction):
            inputs.append((model.pre_quantize(latents, index, prediction), prediction))
            return inputs[-1][0]

        z = model.top_down(96, keep_latent)
        (coarse, no_prediction), (fine, prediction) = inputs
        assert no_prediction is None and torch.equal(coarse, latents[1])
        torch.testing.assert_close(prediction, model.coarse[0].decoder(coarse))
        torch.testing.assert_close(fine, latents[0] - prediction)
        torch.testing.assert_close(z, latents[0])


@each_hierarchy
@each_backbone
def test_a_training_pass_decodes_item_i_from_its_first_codes(make_model, coarse, backbone):
    model = make_model(coarse, backbone)
    x = random_signal(7, 91)
    n_coarser = len(model.codebook_specs) - 2
    with torch.no_grad():
        result, codes = model(x), model.tokenize(x)
        assert result.groups == 3
        for item in range(len(x)):
            prefix = [row[item:item + 1] for row in codes[:n_coarser + item % 3]]
            expected = model.detokenize(prefix, x.shape[-1])
            torch.testing.assert_close(result.signal[item:item + 1], expected, atol=1e-3, rtol=1e-3)


def test_losses_are_means_over_levels(make_model):
    model = make_model().train()
    x, results = random_signal(6), []
    for _, quantizer in model.levels:
        quantizer.register_forward_hook(lambda module, inputs, quantized: results.append(quantized))
    with torch.no_grad():
        result = model(x)
    (fine, coarse), name = results, "commitment"
    assert fine.losses[name] != coarse.losses[name]
    torch.testing.assert_close(result.losses[name], (fine.losses[name] + coarse.losses[name]) / 2)


# --- context


def nonzero_range(gradient) -> tuple[int, int]:
    """First and last index of the last axis with a gradient."""
    positions = gradient.abs().sum((0, 1)).nonzero().squeeze(1)
    return int(positions[0]), int(positions[-1])


@each_hierarchy
def test_a_coarse_frame_depends_on_its_samples_and_the_context(make_model, coarse):
    model = make_model(coarse, signal={"leads": ("II",)}).double()
    context, total_hop = model.context[0], model.total_hop
    start = -(-context // total_hop) * total_hop + total_hop
    x = random_signal(1, 2 * start + total_hop, 1).double().requires_grad_()
    latents = model.latents(x)
    z = model.top_down(x.shape[-1], lambda index, prediction: model.pre_quantize(latents, index, prediction))
    z[..., start // model.hop:(start + total_hop) // model.hop].sum().backward()
    assert nonzero_range(x.grad) == (start - context, start + total_hop - 1 + context)


@each_hierarchy
def test_decoded_samples_depend_on_no_codes_beyond_the_context(make_model, coarse):
    model = make_model(coarse, signal={"leads": ("II",)}).double()
    total_hop = model.total_hop
    context = model.context[1]
    start = context + total_hop
    latents = [torch.randn(1, 8, (2 * start + total_hop) // hop, dtype=torch.double, requires_grad=True)
               for hop, _ in model.levels]
    y = model.decode(model.top_down(2 * start + total_hop, lambda index, prediction: latents[index]))
    y[..., start:start + total_hop].sum().backward()
    assert nonzero_range(latents[-1].grad) == (1, (2 * start) // total_hop - 1)      # in coarse frames
    first, last = nonzero_range(latents[0].grad)
    assert start - context <= first * model.hop and (last + 1) * model.hop <= start + total_hop + context


@each_hierarchy
def test_changes_beyond_the_context_leave_the_bits_of_codes_and_signal(make_model, coarse):
    model = make_model(coarse)
    total_hop, (encoding, decoding) = model.total_hop, model.context
    start = -(-encoding // total_hop) * total_hop
    x = random_signal(1, 2 * start + 3 * total_hop)
    changed = x.clone()
    changed[..., :start - encoding] += 1
    changed[..., start + total_hop + encoding:] -= 1
    with torch.inference_mode():
        codes, codes_changed = model.tokenize(x), model.tokenize(changed)
        assert any(not torch.equal(a, b) for a, b in zip(codes, codes_changed, strict=True))
        middle = [slice(start // spec.hop, (start + total_hop) // spec.hop) for spec in model.codebook_specs]
        assert all(torch.equal(a[:, part], b[:, part])
                   for a, b, part in zip(codes, codes_changed, middle, strict=True))
        start = -(-decoding // total_hop) * total_hop
        x = random_signal(1, 2 * start + 3 * total_hop)
        codes, codes_changed = model.tokenize(x), []
        for row, (hop, size) in zip(codes, map(astuple, model.codebook_specs), strict=True):
            codes_changed.append((row + 1) % size)
            codes_changed[-1][:, :(2 * start + total_hop) // hop] = row[:, :(2 * start + total_hop) // hop]
        y, y_changed = model.detokenize(codes), model.detokenize(codes_changed)
    middle = slice(start, start + total_hop)
    assert not torch.equal(y, y_changed)
    torch.testing.assert_close(y[..., middle], y_changed[..., middle], rtol=0, atol=0)


@each_hierarchy
@pytest.mark.parametrize("coarse_frames", [1, 4])
def test_chunks_give_the_codes_of_the_whole_record(make_model, monkeypatch, coarse, coarse_frames):
    model = make_model(coarse)
    monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", coarse_frames * model.total_hop)
    for samples in (model.total_hop, 1003):
        tokenizer, record = Tokenizer(model), Record(random_signal(1, samples, 12)[0].numpy(), 100, LEADS_12)
        tokens = tokenizer.encode(record)
        monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", 1 << 14)
        whole = tokenizer.encode(record)
        assert all(map(np.array_equal, tokens.codes, whole.codes))
        expected = tokenizer.decode_coded_leads(whole.codes, samples)
        monkeypatch.setattr(ecgvae.tokenizer.tokenizer, "CHUNK_SAMPLES", coarse_frames * model.total_hop)
        np.testing.assert_array_equal(tokenizer.decode_coded_leads(whole.codes, samples), expected)


# --- files


def test_token_files_hold_codebooks_of_different_lengths(make_model, tmp_path):
    model = make_model(COARSE_LEVELS["three"])
    tokenizer = Tokenizer.load(checkpoint.save(model, tmp_path / "three"), "cpu")
    records = {str(samples): Record(random_signal(1, samples, 12)[0].numpy(), 100, LEADS_12, str(samples))
               for samples in (1, 97, 1000)}
    for record in records.values():
        write_record(record, tmp_path / "records")
    tokenize_files([tmp_path / "records"], tmp_path / "tokens.parquet", tokenizer)
    file = open_tokens(tmp_path / "tokens.parquet")
    assert file.header.codebooks == model.codebook_specs
    detokenize_files(tmp_path / "tokens.parquet", tmp_path / "decoded", tmp_path / "three")
    assert {tokens.name for tokens in file} == set(records)
    for tokens in file:
        assert [len(codes) for codes in tokens.codes] == [-(-tokens.samples // hop) for hop in (48, 48, 24, 6, 6)]
        direct = tokenizer.decode(tokenizer.encode(read_record(tmp_path / "records" / tokens.name)))
        written = read_record(write_record(direct, tmp_path / "direct"))
        assert np.array_equal(read_record(tmp_path / "decoded" / tokens.name).signal, written.signal)
