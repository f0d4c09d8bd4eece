from __future__ import annotations

import pytest
import torch
from torch import nn

from pointillist.nets import SpatialAttention, UNet


def attention(channels=8, seed=0, **settings):
    torch.manual_seed(seed)
    return SpatialAttention(channels, **settings).double()


def features(b=2, c=8, h=4, w=5):
    return torch.randn(b, c, h, w, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("heads", "layers"), [(1, 1), (2, 3)])
def test_it_keeps_the_shape_and_shows_queries_and_keys(heads, layers):
    out, side = attention(heads=heads, layers=layers)(features())
    assert out.shape == (2, 8, 4, 5)
    assert {name: tuple(x.shape) for name, x in side.items()} == dict.fromkeys(
        ("query", "key"), (2, heads * layers, 4, 5, 8 // heads)
    )


def test_one_layer_equals_its_equations():
    module, x = attention(heads=2), features()
    (layer,) = module.layers
    out, side = module(x)
    tokens = x.flatten(2).transpose(1, 2)
    query, key, value = layer.compare(layer.norm_attention(tokens)).split(8, dim=2)
    attended = []
    for head in (slice(0, 4), slice(4, 8)):
        maps = (query[..., head] @ key[..., head].transpose(1, 2) / 4**0.5).softmax(2)
        torch.testing.assert_close(maps.sum(2), torch.ones(2, 20).double())
        attended.append(maps @ value[..., head])
    tokens = tokens + layer.project(torch.cat(attended, 2))
    hidden = layer.mix(layer.widen(layer.norm_mlp(tokens)).transpose(1, 2).unflatten(2, (4, 5)))
    tokens = tokens + layer.narrow(nn.functional.gelu(hidden).flatten(2).transpose(1, 2))
    torch.testing.assert_close(out, module.norm(tokens).transpose(1, 2).unflatten(2, (4, 5)))
    torch.testing.assert_close(side["query"][:, 1, 2, 3], query[:, 2 * 5 + 3, 4:])
    torch.testing.assert_close(side["key"][:, 0, 3, 1], key[:, 3 * 5 + 1, :4])


def test_a_far_place_has_an_influence_that_a_convolution_would_not_give():
    module, x = attention(), features(h=9, w=9)
    moved = x.clone()
    moved[:, 0, 0, 0] += 5
    before, after = (module(y)[0][:, :, 8, 8] for y in (x, moved))
    assert not torch.allclose(before, after, rtol=1e-6)


def test_the_order_of_memory_means_nothing():
    module, x = attention(), features()
    out, side = module(x)
    other, others = module(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(other, out)
    torch.testing.assert_close(others, side)


@pytest.mark.parametrize("stage", [0, 2, 4])
def test_it_can_be_grafted_onto_any_stage(stage):
    torch.manual_seed(0)
    net = UNet(1, 3, channels=(4, 4, 8, 8, 8))
    net.graft(stage, SpatialAttention(net.channels[stage], heads=2))
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.rand(2, 1, 32, 48))
    height, width = 32 // net.strides[stage], 48 // net.strides[stage]
    assert out.side["query"].shape == (2, 2, height, width, net.channels[stage] // 2)
    out.logits.float().sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_fresh_network_has_new_attention_of_the_same_kind():
    torch.manual_seed(0)
    net = UNet(1, 3, channels=(4, 4, 8, 8, 8))
    net.graft(2, SpatialAttention(8))
    one, other, same = (net.fresh(seed).grafts["2"].layers[0] for seed in (1, 2, 1))
    assert torch.equal(one.compare.weight, same.compare.weight)
    assert not torch.equal(one.compare.weight, other.compare.weight)
    for linear in (one.compare, one.project, one.widen, one.narrow):
        assert 0.01 < linear.weight.std() < 0.03
    assert (one.project.bias == 0).all()
    assert 0.3 < one.mix.weight.std() < 0.7


def test_heads_that_cannot_share_the_channels_are_refused():
    with pytest.raises(ValueError, match="heads must divide the 8 channels, got 3"):
        SpatialAttention(8, heads=3)
