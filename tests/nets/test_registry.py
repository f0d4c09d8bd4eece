from __future__ import annotations

import pytest
import torch
from torch import nn

from pointillist.errors import InputError
from pointillist.nets.attention import SpatialAttention
from pointillist.nets.registry import NETS, GraftDescription, build_net, describe_grafts


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_every_network_takes_its_channels_and_gives_its_classes(name, channels, classes):
    net = build_net(name, channels, classes).eval()
    side = max(32, net.strides[-1])
    with torch.inference_mode():
        out = net(torch.zeros(1, channels, side, side))
    assert out.logits.shape == (1, classes, side, side)
    for maps, widths, strides in (
        (out.stages, net.channels, net.strides),
        (out.levels, net.level_channels, net.level_strides),
    ):
        assert [(one.shape[1], side // one.shape[2], side // one.shape[3]) for one in maps] == [
            (width, stride, stride) for width, stride in zip(widths, strides, strict=True)
        ]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no such network") as caught:
        build_net("u-net", 1, 4)
    assert caught.value.todo == "did you mean 'unet'?"
    assert "unet" in caught.value.expected


def test_grafts_are_described_and_built_again():
    net = build_net("unet", 1, 3)
    net.graft(2, SpatialAttention(64, heads=2, layers=2))
    described = describe_grafts(net)
    assert described == {
        2: GraftDescription("spatial_attention", {"channels": 64, "heads": 2, "layers": 2}),
    }
    again = build_net("unet", 1, 3, described)
    again.load_state_dict(net.state_dict())
    assert describe_grafts(again) == described
    assert describe_grafts(build_net("unet", 1, 3)) == {}


def test_a_graft_that_could_not_be_loaded_again_is_refused():
    net = build_net("unet", 1, 3)
    net.graft(0, nn.Identity())
    with pytest.raises(
        TypeError, match=r"graft Identity could not be loaded; name its class in nets\.registry\.GRAFTS"
    ):
        describe_grafts(net)


def test_an_unknown_graft_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no such graft") as caught:
        build_net("unet", 1, 3, {0: GraftDescription("spatial_attentoin", {})})
    assert caught.value.todo == "did you mean 'spatial_attention'?"
