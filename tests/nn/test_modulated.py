"""The modulated transformer: zero at first, per-item times and conditions, context, unmodulated it is the plain one."""

import pytest
import torch

from ecgvae.nn.modulated import ModulatedBlock, ModulatedTransformer, TimeEmbedding
from ecgvae.nn.transformer import TransformerBlock

NO_CONDITION = torch.zeros(())


def network(scale=0.3, **changes):
    """A small network from 3 to 2 channels, with random weights everywhere unless the scale is 0."""
    torch.manual_seed(0)
    sizes = {"inputs": 3, "outputs": 2, "width": 16, "layers": 2, "heads": 2, "window": 2, "embedding_width": 8}
    network = ModulatedTransformer(**{**sizes, **changes})
    with torch.no_grad():
        for parameter in network.parameters() if scale else ():
            parameter.normal_(0, scale)
    return network


def test_an_untrained_network_gives_zeros_and_learns():
    untrained, x = network(scale=0), torch.randn(2, 5, 3)
    assert not untrained(x, torch.rand(2), NO_CONDITION).any()
    optimizer = torch.optim.Adam(untrained.parameters(), 0.01)
    for _ in range(4):
        optimizer.zero_grad()
        (untrained(x, torch.rand(2), NO_CONDITION) - 1).square().mean().backward()
        optimizer.step()
    assert all(parameter.grad.abs().sum() > 0 for parameter in untrained.parameters())


def test_an_unmodulated_block_is_a_plain_one():
    torch.manual_seed(0)
    block, plain, x = ModulatedBlock(16, 2, 3, 8, 0.0), TransformerBlock(16, 2, 3), torch.randn(2, 9, 16)
    with torch.no_grad():
        for module in (block.attention, block.feed_forward):
            for parameter in module.parameters():
                parameter.normal_(0, 0.3)
    plain.attention.load_state_dict(block.attention.state_dict())
    plain.feed_forward.load_state_dict(block.feed_forward.state_dict())
    torch.testing.assert_close(block(x, torch.randn(2, 8)), plain(x))


def test_every_item_has_its_time_and_condition():
    model, x, t, condition = network(), torch.randn(3, 5, 3), torch.tensor([0.1, 0.5, 1.0]), torch.randn(3, 8)
    together = model(x, t, condition)
    for item in range(3):
        one = slice(item, item + 1)
        torch.testing.assert_close(model(x[one], t[one], condition[one]), together[one])
    assert not torch.allclose(model(x, t.flip(0), condition)[0], together[0])
    assert not torch.allclose(model(x, t, condition.flip(0))[0], together[0])


def test_frames_depend_on_those_within_the_windows_of_all_blocks():
    model, x = network(), torch.randn(1, 40, 3, requires_grad=True)
    model(x, torch.rand(1), NO_CONDITION)[0, 20].sum().backward()
    assert x.grad[0].abs().sum(1).nonzero().flatten().tolist() == list(range(16, 25))


def test_nearby_times_have_nearby_embeddings():
    embedding, t = TimeEmbedding(8), torch.linspace(0, 1, 11)
    near, far = embedding(t + 1e-3) - embedding(t), embedding(t + 0.3) - embedding(t)
    assert near.norm(dim=1).max().item() < far.norm(dim=1).min().item() / 2


def test_dropout_is_for_training():
    model, x = network(dropout=0.5), torch.randn(2, 5, 3)
    arguments = x, torch.rand(2), NO_CONDITION
    assert not torch.equal(model.train()(*arguments), model(*arguments))
    assert torch.equal(model.eval()(*arguments), model(*arguments))


def test_a_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match="a width of 16 with 3 heads; wanted a multiple of 6"):
        network(heads=3)
