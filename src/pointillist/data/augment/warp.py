"""Pixels gathered and marks drawn for a whole batch, without a loop over its images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from pointillist.data.batch import MarkPoints
from pointillist.types import IGNORE

_CLASS_BITS = 8


def nearest_index(places: Tensor, sizes: Tensor) -> Tensor:
    """Number of the nearest cached pixel in its own plane.

    Args:
        places: ``(b, 2, h, w)`` row, column inside the plane, counted from its edge.
        sizes: ``(b, 2)`` int32 rows and columns of the planes.

    Returns:
        ``(b, h, w)`` int32.
    """
    row, column = places.int().unbind(dim=1)
    return row * sizes[:, 1, None, None] + column


def gather(flat: Tensor, start: Tensor, index: Tensor, planes: int, area: Tensor) -> Tensor:
    """Values of all planes at the same places.

    Args:
        flat: ``(n,)`` slice after slice, plane after plane.
        start: ``(b,)`` int64, where each slice begins.
        index: ``(b, h, w)`` int32 place in a plane.
        planes: planes a slice.
        area: ``(b,)`` int64, pixels a plane.

    Returns:
        ``(b, planes, h, w)``, of the kind of ``flat``.
    """
    first = start[:, None] + torch.arange(planes, device=flat.device) * area[:, None]
    places = index[:, None] + first[:, :, None, None]
    return flat.index_select(0, places.view(-1)).view(places.shape)  # a quarter of the time of `take`, on the processor


def gather_smooth(flat: Tensor, start: Tensor, places: Tensor, sizes: Tensor, planes: int) -> Tensor:
    """Linear interpolation between the four nearest cached pixels, the border's value beyond it.

    Args:
        flat: as for ``gather``.
        start: as for ``gather``.
        places: as for ``nearest_index``.
        sizes: ``(b, 2)`` int32 rows and columns of the planes.
        planes: planes a slice.

    Returns:
        ``(b, planes, h, w)`` float32.
    """
    last = (sizes - 1)[:, :, None, None]
    from_centre = (places - 0.5).clamp_(min=0)
    near = from_centre.int()
    fraction = (from_centre - near)[:, :, None]
    far = (near + 1).clamp(max=last)
    area = sizes.long().prod(dim=1)
    width = sizes[:, 1, None, None]

    def corner(row: Tensor, column: Tensor) -> Tensor:
        return gather(flat, start, row * width + column, planes, area).float()

    upper = torch.lerp(corner(near[:, 0], near[:, 1]), corner(near[:, 0], far[:, 1]), fraction[:, 1])
    lower = torch.lerp(corner(far[:, 0], near[:, 1]), corner(far[:, 0], far[:, 1]), fraction[:, 1])
    return torch.lerp(upper, lower, fraction[:, 0])


def move_maps(maps: Tensor, places: Tensor) -> Tensor:
    """Linear interpolation of per-image maps, the border's value beyond it.

    Args:
        maps: ``(b, k, h, w)`` float32 on the cached grid.
        places: ``(b, 2, h', w')`` row, column, counted from the edge.

    Returns:
        ``(b, k, h', w')``.
    """
    size = torch.tensor(maps.shape[2:], device=maps.device)[:, None, None]
    grid = (places * (2 / size) - 1).flip(1).movedim(1, -1)
    return grid_sample(maps, grid, padding_mode="border", align_corners=False)


def draw_marks(label: Tensor, marks: MarkPoints) -> Tensor:
    """Draw sample points over labels, later strokes over earlier ones; points outside are dropped.

    The order is kept by taking the largest of (stroke, class), so the result does not depend on the order in which a
    device writes.

    Args:
        label: ``(b, h, w)`` uint8, changed in place.
        marks: sample points of these images.

    Returns:
        ``label``.
    """
    height, width = label.shape[1:]
    row, column = (marks.points + 0.5).floor().long().unbind(dim=1)
    seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    # a point outside has rank 0, which no mark has, at a pixel inside: shapes stay fixed, and no device has to wait
    place = (marks.image * height + row.clamp(0, height - 1)) * width + column.clamp(0, width - 1)
    rank = torch.where(seen, ((marks.strokes + 1) << _CLASS_BITS) | marks.classes, 0).int()
    flat = label.view(-1)
    ranks = torch.zeros(flat.shape, dtype=torch.int32, device=flat.device).scatter_reduce_(0, place, rank, "amax")
    highest = ranks[place]
    flat[place] = torch.where(highest > 0, (highest & IGNORE).to(torch.uint8), flat[place])
    return label
