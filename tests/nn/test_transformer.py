"""The transformer: attention against a plain one, identity at the start, context, stitching and memory."""

import math

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ecgvae.nn.transformer import ROTARY_BASE, Attention, Decoder, Encoder

SHAPES = [(2, 16, 1, 2, 3), (5, 24, 2, 3, 2), (1, 8, 3, 1, 1)]      # hop, width, layers, heads, window


def pair(shape, leads=2, latent=8):
    torch.manual_seed(0)
    return Encoder(leads, latent, *shape), Decoder(latent, leads, *shape)


def scrambled(module, scale=0.3):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale)
    return module


def plain_attention(attention, x):
    """Softmax over the band, one query at a time; positions, counted from anywhere, turn complex numbers."""
    def heads(y):
        return y.unflatten(-1, (attention.heads, -1)).transpose(1, 2)       # (b, h, n, d)

    def turned(y):
        pairs = torch.complex(y[..., ::2], y[..., 1::2])
        speed = ROTARY_BASE ** (-torch.arange(pairs.shape[-1], dtype=torch.double) / pairs.shape[-1])
        return pairs * torch.exp(1j * torch.arange(100, 100 + y.shape[2])[:, None] * speed)

    q, k, v = map(heads, attention.qkv(x).chunk(3, -1))
    q, k = turned(attention.query_norm(q)), turned(attention.key_norm(k))
    y = torch.empty_like(v)
    for frame in range(x.shape[1]):
        seen = slice(max(0, frame - attention.window), frame + attention.window + 1)
        scores = (q[:, :, frame:frame + 1] * k[:, :, seen].conj()).real.sum(-1) / v.shape[-1] ** 0.5
        y[:, :, frame] = (scores.softmax(-1).unsqueeze(-1) * v[:, :, seen]).sum(2)
    return attention.out(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 11, 20, 21, 24, 25, 26, 63])
def test_attention_is_plain_attention_within_the_window(frames):
    attention = scrambled(Attention(24, heads=3, window=5)).double()
    x = torch.randn(2, frames, 24, dtype=torch.double)
    torch.testing.assert_close(attention(x), plain_attention(attention, x), atol=1e-6, rtol=1e-6)


def test_attention_written_out_is_torchs(monkeypatch):
    from ecgvae.nn import transformer

    attention = scrambled(Attention(24, heads=3, window=5))
    x = torch.randn(2, 33, 24)
    wanted = attention(x)
    monkeypatch.setattr(transformer, "attend", torch.nn.functional.scaled_dot_product_attention)
    torch.testing.assert_close(attention(x), wanted)


def test_heads_share_the_width():
    with pytest.raises(ValueError, match="a width of 20 with 3 heads; wanted a multiple of 6"):
        Encoder(1, 8, 4, 20, 1, 3, 8)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_untrained_pair_with_room_is_the_identity(shape):
    hop, _, *rest = shape
    encoder, decoder = pair((hop, 8 * hop * shape[3], *rest), latent=2 * hop)
    x = torch.randn(2, 2, 20 * hop)
    assert encoder(x).shape == (2, 2 * hop, 20)
    torch.testing.assert_close(decoder(encoder(x)), x)


@pytest.mark.parametrize("frames", [11, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_depends_on_its_samples_and_reach_to_either_side(shape, frames):
    hop, encoder = shape[0], scrambled(pair(shape)[0]).double()
    frame = frames // 2
    x = torch.randn(1, 2, frames * hop, dtype=torch.double, requires_grad=True)
    encoder(x)[..., frame].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert touched[0] == max(0, frame * hop - encoder.context)
    assert touched[-1] == min(frames * hop, (frame + 1) * hop + encoder.context) - 1


@pytest.mark.parametrize("frames", [11, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_frame_of_samples_depends_on_reach_frames_to_either_side(shape, frames):
    hop, decoder = shape[0], scrambled(pair(shape)[1]).double()
    frame = frames // 2
    z = torch.randn(1, 8, frames, dtype=torch.double, requires_grad=True)
    decoder(z)[..., frame * hop:(frame + 1) * hop].sum().backward()
    touched = z.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert touched[0] == max(0, frame - decoder.context)
    assert touched[-1] == min(frames - 1, frame + decoder.context)


@pytest.mark.parametrize("shape", SHAPES)
def test_pieces_with_reach_to_either_side_are_the_whole(shape):
    hop, (encoder, decoder) = shape[0], map(scrambled, pair(shape))
    halo = math.ceil(encoder.context / hop)
    assert decoder.context == halo
    x = torch.randn(2, 2, 100 * hop)
    z, pieces, signals = encoder(x), [], []
    for start in range(0, 100, 17):
        before, stop = max(0, start - halo), min(100, start + 17)
        own = slice(start - before, stop - before)
        pieces.append(encoder(x[..., before * hop:(stop + halo) * hop])[..., own])
        signals.append(decoder(z[..., before:stop + halo])[..., own.start * hop:own.stop * hop])
    torch.testing.assert_close(torch.cat(pieces, -1), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(signals, -1), decoder(z), atol=1e-5, rtol=1e-5)


def test_the_bits_of_a_frame_do_not_depend_on_batch_length_or_place():
    encoder = scrambled(Encoder(8, 32, 8, 64, 2, 2, 8), 0.1)
    x, halo = torch.randn(33, 8, 600), encoder.context // 8
    with torch.inference_mode():
        whole = encoder(x)
        assert torch.equal(whole, torch.cat([encoder(item) for item in x.split(1)]))
        assert torch.equal(whole, torch.cat([encoder(part) for part in x.split(7)]))
        assert torch.equal(whole[..., :60 - halo], encoder(x[..., :480])[..., :-halo])
        assert torch.equal(whole[..., 16 + halo:], encoder(x[..., 128:])[..., halo:])      # two windows later


def test_every_parameter_learns():
    inputs = torch.randn(2, 2, 100), torch.randn(2, 8, 20)
    for half, x in zip(map(scrambled, pair(SHAPES[1])), inputs, strict=True):
        half(x).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in half.parameters())


def test_one_step_from_the_identity_every_parameter_learns():
    encoder, decoder = pair(SHAPES[1])
    model = torch.nn.Sequential(encoder, decoder)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(4, 2, 100)
    for _ in range(2):
        optimizer.zero_grad()
        (model(x) - x).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_bfloat16_is_close_to_float32():
    encoder, decoder = map(scrambled, pair(SHAPES[1]), (0.1, 0.1))
    x = torch.randn(2, 2, 200)
    with torch.autocast("cpu", torch.bfloat16):
        y = decoder(encoder(x))
    y.float().square().sum().backward()
    wanted = decoder(encoder(x))
    assert (y - wanted).norm() < 0.05 * wanted.norm()
    assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())


def test_the_last_weight_makes_the_signal():
    decoder = scrambled(pair(SHAPES[1])[1])
    with torch.no_grad():
        decoder.last_layer.zero_()
    assert isinstance(decoder.last_layer, torch.nn.Parameter)
    y = decoder(torch.randn(2, 8, 9))
    assert torch.equal(y, y[:1, :, :5].repeat(2, 1, 9))     # nothing but the bias of each channel of a patch


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return made


def test_half_an_hour_takes_linear_memory():
    hop, width, window = 8, 16, 8
    encoder, frames = Encoder(1, 8, hop, width, 1, 2, window), 30 * 60 * 100 // 8
    with torch.inference_mode(), Largest() as largest:
        assert encoder(torch.randn(1, 1, frames * hop)).shape == (1, 8, frames)
    assert largest.elements < 1.01 * frames * max(8 * width, 2 * 3 * window)


def compiled_and_plain(rank, path):
    encoder = scrambled(pair(SHAPES[0])[0], 0.1)
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    x = torch.randn(2, 2, 60)
    torch.save((compiled(x).detach(), encoder(x).detach()), path)


def test_it_compiles_as_one_graph(tmp_path):
    """In a process of its own, where shapes are not checked: torch.compile can't see through the checks."""
    multiprocessing.spawn(compiled_and_plain, (tmp_path / "both.pt",), nprocs=1)
    compiled, plain = torch.load(tmp_path / "both.pt", weights_only=True)
    torch.testing.assert_close(compiled, plain)
