from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from pointillist.nets import UNet
from pointillist.nets.dropout import Dropout


@pytest.fixture(scope="module")
def net() -> UNet:
    torch.manual_seed(0)
    return UNet(1, 4)


def image(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_parameters_counted_by_hand(net):
    def block(a, b):  # two 3×3 convolutions with bias, two BatchNorms
        return (9 * a * b + b) + 2 * b + (9 * b * b + b) + 2 * b

    def up(a, b):  # the 1×1 convolution, then a block on skip and enlarged features
        return (a * b + b) + block(2 * b, b)

    widths = [16, 32, 64, 128, 256]
    encoder = sum(block(a, b) for a, b in zip([1, *widths], widths, strict=False))
    decoder = sum(up(a, b) for a, b in zip(widths[1:], widths[:-1], strict=True))
    output = 9 * 16 * 4 + 4
    assert (encoder, decoder, output) == (1_180_464, 632_720, 580)
    assert sum(p.numel() for p in net.parameters()) == encoder + decoder + output == 1_813_764


def test_the_published_layers(net):
    dropouts = [m.p for m in net.encoder.modules() if isinstance(m, nn.Dropout)]
    assert dropouts == [0.05, 0.1, 0.2, 0.3, 0.5]
    assert {m.p for m in net.decoder.modules() if isinstance(m, nn.Dropout)} == {0.0}
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.01}
    order = [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU, Dropout, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert all([type(m) for m in block] == order for block in net.encoder)
    assert net.decoder.output.kernel_size == (3, 3)
    assert (net.channels, net.strides) == ((16, 32, 64, 128, 256), (1, 2, 4, 8, 16))


def published_forward(net, x):
    """The published wiring with this net's weights: upsampling by a factor of two."""
    stages = []
    for i, block in enumerate(net.encoder):
        x = block(F.max_pool2d(x, 2) if i else x)
        stages.append(x)
    for up, skip in zip(net.decoder.ups, stages[-2::-1], strict=True):
        larger = F.interpolate(up.narrow(x), scale_factor=2, mode="bilinear", align_corners=True)
        x = up.join(torch.cat([skip, larger], 1))
    return net.decoder.output(x)


def test_multiples_of_16_give_the_published_forward_pass(net):
    x, exact = image(2, 1, 48, 32).double(), copy.deepcopy(net).double().eval()
    with torch.no_grad():
        torch.testing.assert_close(exact(x).logits, published_forward(exact, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 50), (37, 101)])
def test_any_size_keeps_its_grid(net, size):
    out = net.eval()(image(1, 1, *size))
    grids = [tuple(n // stride for n in size) for stride in net.strides]
    assert out.logits.shape == (1, 4, *size)
    assert [tuple(s.shape) for s in out.stages] == [(1, c, *g) for c, g in zip(net.channels, grids, strict=True)]
    assert [s.shape for s in out.levels] == [s.shape for s in out.stages[:-1]]


def test_the_output_layer_reads_the_finest_level(net):
    out = net.eval()(image(1, 1, 32, 32))
    assert torch.equal(net.decoder.output(out.levels[0]), out.logits)


def test_colour_images_and_other_depths():
    net = UNet(3, 2, channels=(4, 8), dropout=(0.0, 0.0))
    assert net(image(2, 3, 9, 5)).logits.shape == (2, 2, 9, 5)


def test_eval_is_deterministic_and_training_is_not(net):
    x = image(2, 1, 32, 32)
    net.eval()
    assert torch.equal(net(x).logits, net(x).logits)
    net.train()
    assert not torch.equal(net(x).logits, net(x).logits)


def test_every_parameter_learns(net):
    net.train()
    net.zero_grad()
    net(image(2, 1, 32, 32)).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("size", [(32, 32), (35, 50)])
def test_channels_last_changes_only_the_layout(net, size):
    x = image(2, 1, *size)
    net.eval()
    plain = net(x).logits
    try:
        net.to(memory_format=torch.channels_last)
        last = net(x.contiguous(memory_format=torch.channels_last)).logits
    finally:
        net.to(memory_format=torch.contiguous_format)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)


def test_bfloat16_under_autocast_stays_close(net):
    x = image(2, 1, 35, 50)
    net.eval()
    plain = net(x).logits
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x).logits
    assert low.dtype == torch.bfloat16
    assert (low.float() - plain).abs().max() < 0.05 * plain.abs().max()
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        net(x).logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("shape", [(1, 32, 32), (1, 2, 32, 32), (1, 1, 15, 32), (1, 1, 32, 8)])
def test_unfit_images_are_refused(net, shape):
    with pytest.raises(ValueError, match=r"the image must be \(batch, 1, height, width\) with sides of at least 16"):
        net(torch.zeros(shape))


def test_every_stage_needs_a_dropout_rate():
    with pytest.raises(ValueError, match="every stage needs channels and a dropout rate"):
        UNet(1, 4, channels=(4, 8), dropout=(0.1,))
