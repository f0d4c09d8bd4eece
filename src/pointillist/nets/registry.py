"""Networks by name: what a run's settings and a shipped model say."""

from __future__ import annotations

from collections.abc import Callable

from pointillist.errors import named
from pointillist.nets.network import SegmentationNet
from pointillist.nets.resnet_unet import ResNetUNet
from pointillist.nets.unet import UNet

NETS: dict[str, Callable[[int, int], SegmentationNet]] = {"unet": UNet, "resnet50_unet": ResNetUNet}
"""Constructors by name: channels of the image and number of classes in, network out."""


def build_net(name: str, in_channels: int, classes: int) -> SegmentationNet:
    """A new network with the weights that its constructor draws.

    Args:
        name: a key of ``NETS``.
        in_channels: channels of the image.
        classes: K, background included.

    Raises:
        InputError: if there is none of this name; the message proposes the nearest.
    """
    kind = named(NETS, name, what="there is no such network", where="--net")
    return kind(in_channels, classes)
