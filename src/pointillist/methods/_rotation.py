"""Rotations of pixels that lose none: three rounded shears, each of which moves whole rows or columns."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rotated(maps: Tensor, degrees: Tensor) -> Tensor:
    """Every image turned about its centre by its own angle, zeros where nothing turned up.

    Each pixel goes to one place of its own, within two pixels of the exact one, so that a mark one pixel wide survives,
    and turning by −φ undoes turning by φ wherever a pixel stayed inside, bit for bit.

    Args:
        maps: ``(b, c, h, w)``; takes a gradient.
        degrees: ``(b,)`` angles, counter-clockwise, on the processor.

    Source: Paeth, Graphics Interface 1986.
    """
    height, width = maps.shape[2:]
    index, inside = _sources(degrees, height, width)
    index, inside = (x.to(maps.device, non_blocking=True) for x in (index, inside))
    flat = maps.flatten(2)
    moved = flat.gather(2, index.flatten(1)[:, None].expand_as(flat)).view(maps.shape)
    return moved.masked_fill(~inside[:, None], 0)


def _sources(degrees: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Number of the pixel that comes to each place, ``(b, h, w)`` int64, and whether there is one."""
    turn = torch.remainder(degrees.double(), 360)
    half = (turn > 90) & (turn <= 270)  # shears by at most 1 reach a quarter turn; beyond it, half a turn comes first
    angle = torch.where(half, turn - 180, torch.where(turn > 270, turn - 360, turn)) * (math.pi / 180)
    sideways, downwards, sign = (
        x.float().view(-1, 1, 1) for x in (-(angle / 2).tan(), angle.sin(), 1 - 2 * half.double())
    )
    row = (torch.arange(height) - (height - 1) / 2).view(1, -1, 1)
    column = (torch.arange(width) - (width - 1) / 2).view(1, 1, -1)
    column = column + (sideways * row).round()
    row = row + (downwards * column).round()
    column = column + (sideways * row).round()
    row = row * sign + (height - 1) / 2
    column = column * sign + (width - 1) / 2
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    index = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    return index.long(), inside
