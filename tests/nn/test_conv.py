"""Convolutional encoder and decoder: identity at initialization, context, and the same bits in any batch."""

import math

import pytest
import torch
import torch.nn.functional as F

from ecgvae.nn.conv import Conv, Decoder, Encoder

SHAPES = [      # strides, dilations
    ((4, 2), ((1,), (1, 3))),
    ((2,), ((1, 2),)),
    ((3, 5), ((), (2,))),
    ((2, 3, 2), ((1, 3), (1,), (2, 5))),
]


def build_pair(strides, dilations, leads=2, width=16, latent=8):
    """An encoder and a decoder."""
    torch.manual_seed(0)
    widths = (width,) * len(strides)
    return Encoder(leads, latent, widths, strides, dilations), Decoder(leads, latent, widths, strides, dilations)


def randomized(module):
    """The module in double precision, with random weights everywhere."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double()


@pytest.mark.parametrize(("strides", "dilations"), SHAPES)
def test_untrained_with_a_wide_latent_is_the_identity(strides, dilations):
    latent_channels = 2 * math.prod(strides)
    encoder, decoder = build_pair(strides, dilations, width=latent_channels + 3, latent=latent_channels)
    x = torch.randn(2, 2, 4 * math.prod(strides))
    assert encoder(x).shape == (2, latent_channels, 4)
    torch.testing.assert_close(decoder(encoder(x)), x)


@pytest.mark.parametrize(("strides", "dilations"), SHAPES)
def test_a_frame_depends_on_its_samples_and_the_context(strides, dilations):
    hop = math.prod(strides)
    encoder = randomized(build_pair(strides, dilations)[0])
    frames = 2 * math.ceil(encoder.context / hop) + 5
    frame = frames // 2
    x = torch.randn(1, 2, frames * hop, dtype=torch.double, requires_grad=True)
    encoder(x)[..., frame].sum().backward()
    used = x.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert used[0] == frame * hop - encoder.context
    assert used[-1] == (frame + 1) * hop - 1 + encoder.context


@pytest.mark.parametrize(("strides", "dilations"), SHAPES)
def test_decoded_samples_depend_on_their_frame_and_the_context(strides, dilations):
    hop = math.prod(strides)
    decoder = randomized(build_pair(strides, dilations)[1])
    frames = 2 * decoder.context + 5
    frame = frames // 2
    z = torch.randn(1, 8, frames, dtype=torch.double, requires_grad=True)
    decoder(z)[..., frame * hop:(frame + 1) * hop].sum().backward()
    used = z.grad.abs().sum((0, 1)).nonzero().squeeze(1)
    assert (used[0], used[-1]) == (frame - decoder.context, frame + decoder.context)


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 4), (5, 2)])
def test_without_gradients_a_convolution_equals_torchs(kernel, dilation):
    torch.manual_seed(0)
    conv = Conv(6, 7, kernel, dilation=dilation, padding=dilation * (kernel // 2))
    for length in (1, 2, 9, 50):
        x = torch.randn(3, 6, length)
        expected = F.conv1d(x, conv.weight, conv.bias, padding=conv.padding, dilation=dilation)
        with torch.no_grad():
            torch.testing.assert_close(conv(x), expected.detach())


def test_the_bits_of_a_frame_do_not_depend_on_batch_or_length():
    encoder = randomized(build_pair((4, 2), ((1,), (1, 3)), leads=8, width=64, latent=32)[0]).float()
    x = torch.randn(33, 8, 400)
    same_frames = 50 - math.ceil(encoder.context / 8)
    with torch.inference_mode():
        batch, longer = encoder(x), encoder(torch.cat([x[:4], x[4:8]], 2))
        assert torch.equal(batch, torch.cat([encoder(item) for item in x.split(1)]))
        assert torch.equal(batch, torch.cat([encoder(items) for items in x.split(7)]))
        assert torch.equal(longer[..., :same_frames], batch[:4, :, :same_frames])
    assert same_frames > 40
