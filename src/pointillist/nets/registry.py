"""Networks and grafts by name: what a run's settings and a shipped model say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from torch import nn

from pointillist.errors import named
from pointillist.nets.attention import SpatialAttention
from pointillist.nets.network import SegmentationNet
from pointillist.nets.resnet_unet import ResNetUNet
from pointillist.nets.two_component import TwoComponentNet
from pointillist.nets.unet import UNet

NETS: dict[str, Callable[[int, int], SegmentationNet]] = {
    "unet": UNet,
    "resnet34_unet": partial(ResNetUNet, depth=34),
    "resnet50_unet": partial(ResNetUNet, depth=50),
    "two_component": TwoComponentNet,
}
"""Constructors by name: channels of the image and number of classes in, network out."""

GRAFTS: dict[str, Callable[..., nn.Module]] = {"spatial_attention": SpatialAttention}
"""Classes of grafts by name. Each keeps its constructor's arguments in ``settings``, so that it can be built again."""


@dataclass(frozen=True)
class GraftDescription:
    """How to build a graft again.

    Attributes:
        kind: a key of ``GRAFTS``.
        settings: arguments of its constructor.
    """

    kind: str
    settings: dict[str, int]


def build_net(
    name: str, in_channels: int, classes: int, grafts: Mapping[int, GraftDescription] | None = None
) -> SegmentationNet:
    """A new network with the weights that its constructor draws.

    Args:
        name: a key of ``NETS``.
        in_channels: channels of the image.
        classes: K, background included.
        grafts: by the stage that bears them.

    Raises:
        InputError: if there is no network or graft of this name; the message proposes the nearest.
    """
    net = named(NETS, name, what="there is no such network", where="--net")(in_channels, classes)
    for stage, graft in (grafts or {}).items():
        kind = named(GRAFTS, graft.kind, what="there is no such graft", where=f"grafts of network {name}")
        net.graft(stage, kind(**graft.settings))
    return net


def describe_grafts(net: SegmentationNet) -> dict[int, GraftDescription]:
    """What ``build_net`` needs to graft anew, by stage.

    Raises:
        TypeError: if a graft is of no class in ``GRAFTS``.
    """
    return {int(stage): _describe(module) for stage, module in net.grafts.items()}


def _describe(graft: nn.Module) -> GraftDescription:
    for name, kind in GRAFTS.items():
        if type(graft) is kind:
            return GraftDescription(name, cast("dict[str, Any]", graft.settings))
    msg = f"a model with the graft {type(graft).__name__} could not be loaded; name its class in nets.registry.GRAFTS"
    raise TypeError(msg)
