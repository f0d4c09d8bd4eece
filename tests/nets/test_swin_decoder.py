from __future__ import annotations

import pytest
import torch

from pointillist.nets import UNet
from pointillist.nets.swin_decoder import SwinDecoder
from pointillist.nets.window_attention import WindowBlock


def small(**options):
    torch.manual_seed(0)
    net = UNet(1, 3, channels=(4, 6, 8, 10), dropout=(0.0,) * 4)
    return net, SwinDecoder(net.channels, net.strides, 3, **options)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (40, 33)])
def test_any_grid_works(size):
    net, decoder = small()
    out = decoder(net.encode(torch.randn(2, 1, *size)))
    assert out.logits.shape == (2, 3, *size)
    assert [level.shape[2:] for level in out.levels] == [stage.shape[2:] for stage in out.stages[:-1]]
    torch.testing.assert_close(decoder.output(out.levels[0]), out.logits)


def test_every_parameter_learns():
    net, decoder = small()
    decoder(net.encode(torch.randn(2, 1, 40, 33))).logits.square().mean().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_the_published_widths_heads_and_depths_on_a_resnet():
    with torch.device("meta"):
        decoder = SwinDecoder((64, 256, 512, 1024, 2048), (2, 4, 8, 16, 32), 4)
    blocks = [[block for block in level if isinstance(block, WindowBlock)] for level in decoder.blocks]
    assert [len(level) for level in blocks] == [2, 2, 2]
    assert [level[0].attention.heads for level in blocks] == [3, 6, 12]
    assert [[block.shift for block in level] for level in blocks] == [[0, 3]] * 3
    assert [tuple(embed[0].weight.shape) for embed in decoder.embeds] == [
        (96, 256),
        (192, 512),
        (384, 1024),
        (768, 2048),
    ]
    rates = [block.drop_path.rate for level in blocks for block in level]
    assert rates == pytest.approx([0.1 * i / 7 for i in range(6)])
    assert decoder.to_full.ratio == 4


def test_it_is_no_wider_than_its_encoder():
    with torch.device("meta"):
        decoder = SwinDecoder((16, 32, 64, 128, 256), (1, 2, 4, 8, 16), 4)
    assert [embed[0].out_features for embed in decoder.embeds] == [32, 64, 128, 256]
    assert [level[0].attention.heads for level in decoder.blocks] == [1, 2, 4]


def test_all_that_it_knows_is_saved():
    net, decoder = small()
    _, other = small()
    for p in other.parameters():
        torch.nn.init.zeros_(p)
    other.load_state_dict(decoder.state_dict())
    stages = net.encode(torch.randn(1, 1, 17, 31))
    assert torch.equal(other.eval()(stages).logits, decoder.eval()(stages).logits)
    assert {name for name, _ in decoder.named_parameters()} == set(decoder.state_dict())


@pytest.mark.parametrize("strides", [(1, 2), (1,), (1, 2, 3)])
def test_unfit_encoders_are_refused(strides):
    with pytest.raises(ValueError, match="two or more stages below full size, each dividing the next"):
        SwinDecoder((4,) * len(strides), strides, 3)


def test_bfloat16_under_autocast_stays_close():
    net, decoder = small()
    stages = net.eval().encode(torch.randn(2, 1, 17, 31))
    plain = decoder.eval()(stages).logits
    with torch.autocast("cpu", torch.bfloat16):
        low = decoder(stages).logits
    assert (low.float() - plain).abs().max() < 0.05 * plain.abs().max()
