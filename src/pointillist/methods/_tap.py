"""Where a method reads features: a level of the decoder or a stage of the encoder."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pointillist.errors import InputError
from pointillist.nets.network import NetOut, SegmentationNet

TapName = Literal["decoder", "encoder"]


def check_tap(net: SegmentationNet, tap: TapName, level: int) -> None:
    """Ask for a level that the network has.

    Raises:
        InputError: if it has fewer.
    """
    count = len(net.level_channels if tap == "decoder" else net.channels)
    if level >= count:
        raise InputError(
            f"the network's {tap} has no such level",
            where="level",
            expected=f"0 … {count - 1}",
            received=level,
            todo="choose one of its levels, 0 being the finest",
        )


def tapped(out: NetOut, tap: TapName, level: int) -> Tensor:
    """``(b, c, h, w)`` features of a level."""
    return out.levels[level] if tap == "decoder" else out.stages[level]
