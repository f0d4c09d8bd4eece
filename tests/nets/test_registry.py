from __future__ import annotations

import pytest
import torch

from pointillist.errors import InputError
from pointillist.nets.registry import NETS, build_net


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_every_network_takes_its_channels_and_gives_its_classes(name, channels, classes):
    net = build_net(name, channels, classes).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, channels, 32, 32)).logits.shape == (1, classes, 32, 32)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no such network") as caught:
        build_net("u-net", 1, 4)
    assert caught.value.todo == "did you mean 'unet'?"
    assert "unet" in caught.value.expected
