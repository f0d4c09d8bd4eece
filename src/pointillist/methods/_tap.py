"""Where a method reads features: a level of the decoder or a stage of the encoder, and on which grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F  # noqa: N812
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


def nearest_stride(strides: Sequence[int], wanted: int) -> int:
    """Place of the stride nearest to one, by their ratio; of equal ones the first."""
    return min(range(len(strides)), key=lambda place: abs(math.log2(strides[place] / wanted)))


def on_grid_of(image: Tensor, features: Tensor) -> Tensor:
    """Features ``(b, c, h', w')`` enlarged bilinearly to the rows and columns of ``(b, *, h, w)``."""
    if features.shape[2:] == image.shape[2:]:
        return features
    return F.interpolate(features, size=image.shape[2:], mode="bilinear", align_corners=False)
