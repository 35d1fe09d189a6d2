"""The outputs of an encoder's layers, of every family with every backbone."""

import pytest
import torch

from ecgvae.models import FAMILIES, QuantizedAutoencoder

CASES = [(family, backbone) for family in FAMILIES for backbone in ("conv", "transformer")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def model(request, tiny_settings, random_model):
    return random_model(tiny_settings(*request.param))


def signals(model, samples: int = 103) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, len(model.signal.coded), samples, generator=generator) / 2


def test_the_layers_have_the_stated_width_and_hop(model):
    x = signals(model)
    with torch.no_grad():
        maps = model.feature_maps(x)
    assert list(maps) == list(model.layers)
    padded = -(-x.shape[-1] // model.hop) * model.hop
    for name, layer in model.layers.items():
        assert maps[name].shape == (2, layer.width, -(-padded // layer.hop)), name


def test_the_latent_is_that_of_encode_and_decodes_to_the_reconstruction(model):
    x = signals(model)
    with torch.no_grad():
        maps = model.feature_maps(x)
        assert torch.equal(maps["latent"], model.encode(x))
        if isinstance(model, QuantizedAutoencoder) and len(model.layers) and "coarse1.latent" not in maps:
            assert torch.equal(model.decode(maps["quantized"], x.shape[-1]), model.reconstruct(x))


def test_chosen_layers_are_the_same_alone(model):
    x = signals(model)
    with torch.no_grad():
        maps = model.feature_maps(x)
        for name in maps:
            (own,) = model.feature_maps(x, [name]).values()
            assert torch.equal(own, maps[name]), name


def test_later_layers_are_not_computed(model, monkeypatch):
    """What only the latent needs is not called for the first layer."""
    monkeypatch.setattr(model.encoder.project, "forward", None)
    assert list(model.feature_maps(signals(model), ["layer1"])) == ["layer1"]


def test_gradients_reach_the_first_layer_from_each(model):
    for name in model.layers:
        model.zero_grad()
        model.feature_maps(signals(model), [name])[name].square().sum().backward()
        first = next(parameter for part, parameter in model.encoder.named_parameters() if part.endswith("weight"))
        assert float(first.grad.abs().sum()) > 0, name


def test_wrong_layers_are_named(model):
    with pytest.raises(ValueError, match="no layer 'layer99'; wanted some of layer1, "):
        model.feature_maps(signals(model), ["layer1", "layer99"])
    with pytest.raises(ValueError, match="no layers; wanted some of layer1, "):
        model.feature_maps(signals(model), [])
