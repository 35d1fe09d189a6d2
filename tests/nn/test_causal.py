"""Causal networks: no frame depends on a later one, and the cache gives the same as the whole at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ecgvae.nn.causal import (
    CausalAttention,
    CausalTransformer,
    GatedConv,
    GatedConvs,
    causal_mask,
    rotary_positions,
)

WIDTH, WINDOW = 16, 6


def random_network(name: str) -> torch.nn.Module:
    """A network in float64 whose residual branches are not zero."""
    torch.manual_seed(0)
    network = {"transformer": lambda: CausalTransformer(WIDTH, 2, 2, WINDOW),
               "convs": lambda: GatedConvs(WIDTH, 3, 4, 2)}[name]().double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network


@pytest.mark.parametrize("name", ["transformer", "convs"])
def test_a_frame_changes_no_frame_before_it(name):
    network, x = random_network(name), torch.randn(2, 30, WIDTH, dtype=torch.double)
    changed = x.clone()
    changed[:, 17] = 3 * torch.randn(WIDTH)
    difference = (network(changed) - network(x)).abs().amax((0, 2))
    assert difference[:17].max() == 0 and difference[17] > 1e-3


@pytest.mark.parametrize("name", ["transformer", "convs"])
@settings(max_examples=15, deadline=None)
@given(parts=st.lists(st.integers(1, 15), min_size=1, max_size=8))
def test_parts_with_a_cache_equal_the_whole(name, parts):
    network, x = random_network(name), torch.randn(2, sum(parts), WIDTH, dtype=torch.double)
    cache = {}
    cached = torch.cat([network(part, cache) for part in x.split(parts, 1)], 1)
    torch.testing.assert_close(cached, network(x))


def test_attention_sees_its_window_only():
    torch.manual_seed(0)
    attention = CausalAttention(WIDTH, 2, WINDOW)
    torch.nn.init.normal_(attention.out.weight)
    x = torch.randn(1, 20, WIDTH)
    changed = x.clone()
    changed[:, 5] = torch.randn(WIDTH)
    seen = (attention(changed) - attention(x)).abs().amax((0, 2)) > 1e-6
    assert seen.nonzero().flatten().tolist() == list(range(5, 5 + WINDOW + 1))


def test_the_mask_is_that_of_torch():
    """Without a limit, attention equals torch's own causal attention."""
    q, k, v = torch.randn(3, 1, 2, 9, 4).unbind(0)
    bias = causal_mask(9, 9, 9, q)
    ours = (q * 0.5 @ k.mT + bias).softmax(-1) @ v
    torch.testing.assert_close(ours, F.scaled_dot_product_attention(q, k, v, is_causal=True))


def test_a_gated_convolution_is_that_of_wavenet():
    torch.manual_seed(0)
    layer, x = GatedConv(4, 2, 3, 0.0).eval(), torch.randn(1, 12, 4)
    torch.nn.init.normal_(layer.out.weight)
    normed = F.pad(layer.norm(x), (0, 0, 3, 0))[0]
    for frame in range(12):
        taps = torch.stack([normed[frame], normed[frame + 3]], -1)      # (channels, taps)
        value, gate = ((layer.gate.weight * taps).sum((1, 2)) + layer.gate.bias).chunk(2)
        expected = x[0, frame] + layer.out(value.tanh() * gate.sigmoid())
        torch.testing.assert_close(layer(x)[0, frame], expected)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="a width of 16 with 5 heads; wanted a multiple of 10"):
        CausalTransformer(16, 1, 5, 4)


@given(st.integers(0, 3_000_000), st.integers(1, 700))
def test_rotary_tables_are_short_at_any_position(first, count):
    table = rotary_positions(first, count, 8)
    angle = np.arange(first, first + count)[:, None] * 10_000.0 ** -(np.arange(4) / 4)
    np.testing.assert_allclose(table, np.stack([np.cos(angle), np.sin(angle)], -1), atol=1e-6)
    assert table.untyped_storage().nbytes() <= 1024 * 8 * 4
