"""VQ-VAE-2: streams of two and three levels, fine codes under coarse ones, and exact cutting of long records."""

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

QUANTIZERS = {
    "two": ({"ratio": 4, "codebooks": 2, "codebook_size": 16},),
    "three": ({"ratio": 4, "codebook_size": 32}, {"ratio": 2, "codebooks": 2, "codebook_size": 16}),
    "three of odd ratios": ({"ratio": 3, "codebook_size": 32}, {"ratio": 5, "codebook_size": 16}),
}
each = pytest.mark.parametrize("coarse", QUANTIZERS.values(), ids=QUANTIZERS)
each_backbone = pytest.mark.parametrize("backbone", ["conv", "transformer"])


@pytest.fixture(scope="module")
def made(tiny, learned):
    def model(coarse=QUANTIZERS["two"], backbone="conv", **changes):
        return learned(tiny("vqvae2", backbone, coarse=coarse, **changes))
    return model


def signal(count=2, samples=480, leads=8, seed=1):
    return torch.randn(count, leads, samples, generator=torch.Generator().manual_seed(seed)) / 2


# --- streams


@pytest.mark.parametrize(("levels", "streams"), [
    ("two", ((24, 16), (24, 16), (6, 32), (6, 32))),
    ("three", ((48, 16), (48, 16), (24, 32), (6, 32), (6, 32))),
    ("three of odd ratios", ((90, 16), (18, 32), (6, 32), (6, 32))),
])
@each_backbone
def test_streams_run_from_coarse_to_fine(made, levels, streams, backbone):
    model = made(QUANTIZERS[levels], backbone)
    assert [(spec.hop, spec.size) for spec in model.codebook_specs] == list(streams) and (model.hop, model.total_hop) == (6, streams[0][0])
    for samples in (1, 6, 7, 89, 91, 240, 397):
        with torch.no_grad():
            codes = model.tokenize(signal(samples=samples))
            assert [stream.shape for stream in codes] == [(2, -(-samples // hop)) for hop, _ in streams]
            for count in range(1, len(streams) + 1):
                whole = model.detokenize(codes[:count])     # of whole codes, where no length is given
                assert whole.shape[-1] == codes[count - 1].shape[-1] * streams[count - 1][0]
                assert model.detokenize(codes[:count], samples).shape == (2, 8, samples)


def test_levels_stop_where_a_code_would_be_too_long(tiny):
    with pytest.raises(ValueError, match=r"^model: coarse has ratios that make a hop of 6144; wanted at most 4096$"):
        tiny("vqvae2", coarse=({"ratio": 32}, {"ratio": 32}))


# --- conditioning


@each
@each_backbone
def test_fine_codes_depend_on_the_coarse_ones(made, coarse, backbone):
    model = made(coarse, backbone)
    books = coarse[-1].get("codebooks", 1)
    with torch.no_grad():
        before, quantizer = model.tokenize(signal()), model.coarse[-1].quantizer
        for level in quantizer.quantizers:
            level.codebook.embeddings.copy_(level.codebook.embeddings.roll(1, 0) * 2)     # other words for the same latent
        after = model.tokenize(signal())
    assert len(before) == len(after) > books
    for old, new in zip(before[books:], after[books:], strict=True):
        assert 0.2 < (old != new).float().mean()


def test_what_is_expected_is_subtracted_and_added_back_before_training(tiny):
    torch.manual_seed(0)
    model = build(tiny("vqvae2", latent=48)).eval()
    x = signal(samples=96)
    with torch.no_grad():
        latents, seen = model.latents(x), []

        def code(depth, expected):
            seen.append((model.pre_quantize(latents, depth, expected), expected))
            return seen[-1][0]

        z = model.top_down(96, code)
        (coarse, nothing), (fine, expected) = seen
        assert nothing is None and torch.equal(coarse, latents[1])
        torch.testing.assert_close(expected, model.coarse[0].decoder(coarse))
        torch.testing.assert_close(fine, latents[0] - expected)
        torch.testing.assert_close(z, latents[0])


@each
@each_backbone
def test_a_training_pass_decodes_item_i_from_its_first_codes(made, coarse, backbone):
    model = made(coarse, backbone)
    x = signal(7, 91)
    coarser = len(model.codebook_specs) - 2
    with torch.no_grad():
        result, codes = model(x), model.tokenize(x)
        assert result.groups == 3
        for item in range(len(x)):
            prefix = [stream[item:item + 1] for stream in codes[:coarser + item % 3]]
            alone = model.detokenize(prefix, x.shape[-1])
            torch.testing.assert_close(result.signal[item:item + 1], alone, atol=1e-3, rtol=1e-3)


def test_losses_are_means_over_levels(made):
    model = made().train()
    x, parts = signal(6), []
    for _, quantizer in model.levels:
        quantizer.register_forward_hook(lambda module, inputs, quantized: parts.append(quantized))
    with torch.no_grad():
        result = model(x)
    (fine, coarse), name = parts, "commitment"
    assert fine.losses[name] != coarse.losses[name]
    torch.testing.assert_close(result.losses[name], (fine.losses[name] + coarse.losses[name]) / 2)


# --- context


def touched(gradient) -> tuple[int, int]:
    places = gradient.abs().sum((0, 1)).nonzero().squeeze(1)
    return int(places[0]), int(places[-1])


@each
def test_a_grain_sees_exactly_the_reach_of_encoding(made, coarse):
    model = made(coarse, signal={"leads": ("II",)}).double()
    context, total_hop = model.context[0], model.total_hop
    start = -(-context // total_hop) * total_hop + total_hop
    x = signal(1, 2 * start + total_hop, 1).double().requires_grad_()
    latents = model.latents(x)
    z = model.top_down(x.shape[-1], lambda depth, expected: model.pre_quantize(latents, depth, expected))
    z[..., start // model.hop:(start + total_hop) // model.hop].sum().backward()
    assert touched(x.grad) == (start - context, start + total_hop - 1 + context)


@each
def test_a_grain_sees_no_codes_beyond_the_reach_of_decoding(made, coarse):
    model = made(coarse, signal={"leads": ("II",)}).double()
    total_hop = model.total_hop
    context = model.context[1]
    start = context + total_hop
    latents = [torch.randn(1, 8, (2 * start + total_hop) // hop, dtype=torch.double, requires_grad=True)
               for hop, _ in model.levels]
    y = model.decode(model.top_down(2 * start + total_hop, lambda depth, expected: latents[depth]))
    y[..., start:start + total_hop].sum().backward()
    assert touched(latents[-1].grad) == (1, (2 * start) // total_hop - 1)      # grains
    first, last = touched(latents[0].grad)
    assert start - context <= first * model.hop and (last + 1) * model.hop <= start + total_hop + context


@each
def test_codes_and_signal_beyond_reach_are_the_same_bits(made, coarse):
    model = made(coarse)
    total_hop, (encoding, decoding) = model.total_hop, model.context
    start = -(-encoding // total_hop) * total_hop
    x = signal(1, 2 * start + 3 * total_hop)
    bent = x.clone()
    bent[..., :start - encoding] += 1
    bent[..., start + total_hop + encoding:] -= 1
    with torch.inference_mode():
        codes, others = model.tokenize(x), model.tokenize(bent)
        assert any(not torch.equal(one, other) for one, other in zip(codes, others, strict=True))
        own = [slice(start // hop, (start + total_hop) // hop) for hop in (spec.hop for spec in model.codebook_specs)]
        assert all(torch.equal(one[:, part], other[:, part])
                   for one, other, part in zip(codes, others, own, strict=True))
        start = -(-decoding // total_hop) * total_hop
        x = signal(1, 2 * start + 3 * total_hop)
        codes, others = model.tokenize(x), []
        for stream, (hop, size) in zip(codes, map(astuple, model.codebook_specs), strict=True):
            others.append((stream + 1) % size)
            others[-1][:, :(2 * start + total_hop) // hop] = stream[:, :(2 * start + total_hop) // hop]
        whole, other = model.detokenize(codes), model.detokenize(others)
    own = slice(start, start + total_hop)
    assert not torch.equal(whole, other)
    torch.testing.assert_close(whole[..., own], other[..., own], rtol=0, atol=0)


@each
@pytest.mark.parametrize("pieces", [1, 4])
def test_codes_of_pieces_are_the_codes_of_the_whole(made, monkeypatch, coarse, pieces):
    model = made(coarse)
    monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", pieces * model.total_hop)
    for samples in (model.total_hop, 1003):
        tokenizer, record = Tokenizer(model), Record(signal(1, samples, 12)[0].numpy(), 100, LEADS_12)
        tokens = tokenizer.encode(record)
        monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", 1 << 14)
        whole = tokenizer.encode(record)
        assert all(map(np.array_equal, tokens.codes, whole.codes))
        at_once = tokenizer.decode_coded_leads(whole.codes, samples)
        monkeypatch.setattr(ecgvae.tokenizer, "CHUNK_SAMPLES", pieces * model.total_hop)
        np.testing.assert_array_equal(tokenizer.decode_coded_leads(whole.codes, samples), at_once)


# --- files


def test_token_files_hold_streams_of_different_lengths(made, tmp_path):
    model = made(QUANTIZERS["three"])
    tokenizer = Tokenizer.load(checkpoint.save(model, tmp_path / "three"), "cpu")
    records = {str(samples): Record(signal(1, samples, 12)[0].numpy(), 100, LEADS_12, str(samples))
               for samples in (1, 97, 1000)}
    for record in records.values():
        write_record(record, tmp_path / "records")
    tokenize_files([tmp_path / "records"], tmp_path / "tokens.parquet", tokenizer)
    file = open_tokens(tmp_path / "tokens.parquet")
    assert [(stream.hop, stream.size) for stream in file.header.codebooks] == list(map(astuple, model.codebook_specs))
    detokenize_files(tmp_path / "tokens.parquet", tmp_path / "back", tmp_path / "three")
    assert {tokens.name for tokens in file} == set(records)
    for tokens in file:
        assert [len(codes) for codes in tokens.codes] == [-(-tokens.samples // hop) for hop in (48, 48, 24, 6, 6)]
        direct = tokenizer.decode(tokenizer.encode(read_record(tmp_path / "records" / tokens.name)))
        written = read_record(write_record(direct, tmp_path / "direct"))
        assert np.array_equal(read_record(tmp_path / "back" / tokens.name).signal, written.signal)
