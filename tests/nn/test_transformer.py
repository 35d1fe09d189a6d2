"""Transformer encoder and decoder: attention against plain attention, identity at initialization, context, memory."""

import math

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ecgvae.nn.transformer import ROTARY_BASE, Attention, Decoder, Encoder

SHAPES = [(2, 16, 1, 2, 3), (5, 24, 2, 3, 2), (1, 8, 3, 1, 1)]      # hop, width, layers, heads, window


def build_pair(shape, leads=2, latent=8):
    """An encoder and a decoder."""
    torch.manual_seed(0)
    return Encoder(leads, latent, *shape), Decoder(latent, leads, *shape)


def randomized(module, scale=0.3):
    """The module with random weights everywhere."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale)
    return module


def plain_attention(attention, x):
    """Softmax attention within the window, one query at a time, with rotary positions that count from 100."""
    def split_heads(y):
        return y.unflatten(-1, (attention.heads, -1)).transpose(1, 2)       # (b, h, n, d)

    def rotate(y):
        pairs = torch.complex(y[..., ::2], y[..., 1::2])
        frequency = ROTARY_BASE ** (-torch.arange(pairs.shape[-1], dtype=torch.double) / pairs.shape[-1])
        return pairs * torch.exp(1j * torch.arange(100, 100 + y.shape[2])[:, None] * frequency)

    q, k, v = map(split_heads, attention.qkv(x).chunk(3, -1))
    q, k = rotate(attention.query_norm(q)), rotate(attention.key_norm(k))
    y = torch.empty_like(v)
    for frame in range(x.shape[1]):
        window = slice(max(0, frame - attention.window), frame + attention.window + 1)
        scores = (q[:, :, frame:frame + 1] * k[:, :, window].conj()).real.sum(-1) / v.shape[-1] ** 0.5
        y[:, :, frame] = (scores.softmax(-1).unsqueeze(-1) * v[:, :, window]).sum(2)
    return attention.out(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 11, 20, 21, 24, 25, 26, 63])
def test_attention_equals_plain_attention_within_the_window(frames):
    attention = randomized(Attention(24, heads=3, window=5)).double()
    x = torch.randn(2, frames, 24, dtype=torch.double)
    torch.testing.assert_close(attention(x), plain_attention(attention, x), atol=1e-6, rtol=1e-6)


def test_attention_on_a_cpu_equals_torchs(monkeypatch):
    from ecgvae.nn import transformer

    attention = randomized(Attention(24, heads=3, window=5))
    x = torch.randn(2, 33, 24)
    expected = attention(x)
    monkeypatch.setattr(transformer, "attend", torch.nn.functional.scaled_dot_product_attention)
    torch.testing.assert_close(attention(x), expected)


def test_width_must_be_a_multiple_of_twice_the_heads():
    with pytest.raises(ValueError, match="a width of 20 with 3 heads; wanted a multiple of 6"):
        Encoder(1, 8, 4, 20, 1, 3, 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_untrained_with_a_wide_latent_is_the_identity(shape):
    hop, _, *rest = shape
    encoder, decoder = build_pair((hop, 8 * hop * shape[3], *rest), latent=2 * hop)
    x = torch.randn(2, 2, 20 * hop)
    assert encoder(x).shape == (2, 2 * hop, 20)
    torch.testing.assert_close(decoder(encoder(x)), x)


@pytest.mark.parametrize("frames", [11, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_depends_on_its_samples_and_the_context(shape, frames):
    hop, encoder = shape[0], randomized(build_pair(shape)[0]).double()
    frame = frames // 2
    x = torch.randn(1, 2, frames * hop, dtype=torch.double, requires_grad=True)
    encoder(x)[..., frame].sum().backward()
    used = x.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert used[0] == max(0, frame * hop - encoder.context)
    assert used[-1] == min(frames * hop, (frame + 1) * hop + encoder.context) - 1


@pytest.mark.parametrize("frames", [11, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_decoded_samples_depend_on_their_frame_and_the_context(shape, frames):
    hop, decoder = shape[0], randomized(build_pair(shape)[1]).double()
    frame = frames // 2
    z = torch.randn(1, 8, frames, dtype=torch.double, requires_grad=True)
    decoder(z)[..., frame * hop:(frame + 1) * hop].sum().backward()
    used = z.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert used[0] == max(0, frame - decoder.context)
    assert used[-1] == min(frames - 1, frame + decoder.context)


@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_with_their_context_give_the_same_as_the_whole(shape):
    hop, (encoder, decoder) = shape[0], map(randomized, build_pair(shape))
    halo = math.ceil(encoder.context / hop)
    assert decoder.context == halo
    x = torch.randn(2, 2, 100 * hop)
    z, latents, signals = encoder(x), [], []
    for start in range(0, 100, 17):
        before, stop = max(0, start - halo), min(100, start + 17)
        own = slice(start - before, stop - before)
        latents.append(encoder(x[..., before * hop:(stop + halo) * hop])[..., own])
        signals.append(decoder(z[..., before:stop + halo])[..., own.start * hop:own.stop * hop])
    torch.testing.assert_close(torch.cat(latents, -1), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(signals, -1), decoder(z), atol=1e-5, rtol=1e-5)


def test_the_bits_of_a_frame_do_not_depend_on_batch_length_or_position():
    encoder = randomized(Encoder(8, 32, 8, 64, 2, 2, 8), 0.1)
    x, halo = torch.randn(33, 8, 600), encoder.context // 8
    with torch.inference_mode():
        whole = encoder(x)
        assert torch.equal(whole, torch.cat([encoder(item) for item in x.split(1)]))
        assert torch.equal(whole, torch.cat([encoder(items) for items in x.split(7)]))
        assert torch.equal(whole[..., :60 - halo], encoder(x[..., :480])[..., :-halo])
        assert torch.equal(whole[..., 16 + halo:], encoder(x[..., 128:])[..., halo:])      # two windows later


def test_every_parameter_gets_a_gradient():
    inputs = torch.randn(2, 2, 100), torch.randn(2, 8, 20)
    for module, x in zip(map(randomized, build_pair(SHAPES[1])), inputs, strict=True):
        module(x).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_after_one_step_every_parameter_gets_a_gradient():
    encoder, decoder = build_pair(SHAPES[1])
    model = torch.nn.Sequential(encoder, decoder)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(4, 2, 100)
    for _ in range(2):
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_bfloat16_is_close_to_float32():
    encoder, decoder = map(randomized, build_pair(SHAPES[1]), (0.1, 0.1))
    x = torch.randn(2, 2, 200)
    with torch.autocast("cpu", torch.bfloat16):
        y = decoder(encoder(x))
    y.float().square().sum().backward()
    expected = decoder(encoder(x))
    assert (y - expected).norm() < 0.05 * expected.norm()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_last_layer_produces_the_signal():
    decoder = randomized(build_pair(SHAPES[1])[1])
    with torch.no_grad():
        decoder.last_layer.zero_()
    assert isinstance(decoder.last_layer, torch.nn.Parameter)
    y = decoder(torch.randn(2, 8, 9))
    assert torch.equal(y, y[:1, :, :5].repeat(2, 1, 9))     # only the bias of each channel of a patch


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return result


def test_memory_is_linear_in_the_length():
    hop, width, window = 8, 16, 8
    encoder, frames = Encoder(1, 8, hop, width, 1, 2, window), 30 * 60 * 100 // 8
    with torch.inference_mode(), LargestTensor() as largest:
        assert encoder(torch.randn(1, 1, frames * hop)).shape == (1, 8, frames)
    assert largest.elements < 1.01 * frames * max(8 * width, 2 * 3 * window)


def run_compiled_and_eager(rank, path):
    encoder = randomized(build_pair(SHAPES[0])[0], 0.1)
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    x = torch.randn(2, 2, 60)
    torch.save((compiled(x).detach(), encoder(x).detach()), path)


def test_the_encoder_compiles_as_one_graph(tmp_path):
    """Runs in a new process without jaxtyping's shape checks, which torch.compile cannot trace."""
    multiprocessing.spawn(run_compiled_and_eager, (tmp_path / "outputs.pt",), nprocs=1)
    compiled, eager = torch.load(tmp_path / "outputs.pt", weights_only=True)
    torch.testing.assert_close(compiled, eager)
