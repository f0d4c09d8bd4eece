"""From another program's shapes to marks on an image: checked, drawn on the base, or kept as strokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from pointillist.data.formats.drawn import Drawn
from pointillist.data.image import Grid
from pointillist.data.nifti import native_to_canonical
from pointillist.errors import GeometryError
from pointillist.geometry.polygon import filled
from pointillist.types import Floats, LabelMap, Stroke

AxisOrder = Literal["ijk", "kji"]
"""Order of a volume's three coordinates in a file of points: as the NIfTI file has its axes, or turned round."""

_SLACK = 1e-6  # pixels: rounding of a vertex on the border
_SAME_SLICE = 0.5


def on_plane(drawn: Drawn, grid: Grid, order: AxisOrder, where: str) -> tuple[tuple[Floats, ...], int | None]:
    """The rings of a shape in row, column of the slice that it lies in, and the number of that slice.

    Args:
        drawn: of a 2-D image, or of a volume in the axis order of its file.
        grid: of the image.
        order: of a volume's coordinates.
        where: file and shape, for messages.

    Returns:
        ``(n, 2)`` each, and None for a 2-D image.

    Raises:
        GeometryError: if it has not as many coordinates as the image has axes, leaves its slice, or a vertex lies
            outside the image; the message names the first such place as the file states it.
    """
    axes = len(grid.shape)
    if any(ring.shape[1] != axes for ring in drawn.rings):
        raise GeometryError(
            "a mark does not fit its image",
            where=where,
            expected=f"{axes} coordinates",
            received=f"{drawn.rings[0].shape[1]} coordinates",
            todo="check that the marks belong to this case; QuPath and ImageJ marks go on 2-D images",
        )
    placed = [ring if axes == 2 else _canonical(ring, grid, order) for ring in drawn.rings]
    far = np.array(grid.shape) - 0.5 + _SLACK
    for ring, stated in zip(placed, drawn.rings, strict=True):
        outside = ((ring < -0.5 - _SLACK) | (ring > far)).any(axis=1)
        if outside.any():
            raise GeometryError(
                "a mark lies outside the image",
                where=where,
                expected=f"coordinates within {' × '.join(map(str, _stated_shape(grid, order)))} pixels",
                received=f"({', '.join(f'{value:g}' for value in stated[outside][0])}), pixel centres counted from 0",
                todo="check that the marks belong to this case and were drawn on the image at its full size",
            )
    clipped = [np.clip(ring, -0.5, np.array(grid.shape) - 0.5) for ring in placed]
    if axes == 2:
        return tuple(clipped), None
    axis = grid.slice_axis
    depths = np.concatenate([ring[:, axis] for ring in clipped])
    number = int(np.clip(np.floor(depths[0] + 0.5), 0, grid.shape[axis] - 1))
    if np.abs(depths - number).max() > _SAME_SLICE:
        raise GeometryError(
            "a mark leaves its slice",
            where=where,
            expected=f"one slice along axis {axis}, the axis that counts slices",
            received=f"slices {depths.min():g} … {depths.max():g}",
            todo="draw each mark within one slice, on the plane of the slices",
        )
    return tuple(np.delete(ring, axis, axis=1) for ring in clipped), number


def to_native(points: Floats, grid: Grid) -> Floats:
    """``(n, 3)`` row, column, slice of strokes to voxel indices in the axis order of the volume's file."""
    inside = np.insert(points[:, :2], grid.slice_axis, points[:, 2], axis=1)
    matrix = np.linalg.inv(native_to_canonical(grid))
    native: Floats = inside @ matrix[:3, :3].T + matrix[:3, 3]
    return native


def as_stroke(
    drawn: Drawn, cls: int, plane: tuple[Floats, ...], number: int | None, width_px: float, author: str
) -> Stroke:
    """A point or a line as a stroke; what the file states of width, author and time counts before the given."""
    points = plane[0] if number is None else np.insert(plane[0], 2, number, axis=1)
    return Stroke(cls, points, drawn.width_px or width_px, drawn.author or author, drawn.time)


def paint(
    base: LabelMap, areas: Sequence[tuple[int, tuple[Floats, ...], int | None]], slice_axis: int | None
) -> tuple[LabelMap, int]:
    """Fill outlines, the later over the earlier: every pixel whose centre lies inside, by the even-odd rule.

    Args:
        base: ``(*s)`` to draw over; it is copied.
        areas: class, outline and holes in row and column, and the slice.
        slice_axis: of a volume.

    Returns:
        The map, and how many outlines hold no pixel's centre.
    """
    canvas = base.copy()
    empty = 0
    for cls, rings, number in areas:
        plane = canvas if number is None or slice_axis is None else np.moveaxis(canvas, slice_axis, 0)[number]
        mask = np.zeros(plane.shape, bool)
        for ring in rings:
            window, inside = filled(ring, (plane.shape[0], plane.shape[1]))
            mask[window] ^= inside
        plane[mask] = cls
        empty += not mask.any()
    return canvas, empty


def _canonical(ring: Floats, grid: Grid, order: AxisOrder) -> Floats:
    native = ring if order == "ijk" else ring[:, ::-1]
    matrix = native_to_canonical(grid)
    return np.asarray(native @ matrix[:3, :3].T + matrix[:3, 3])


def _stated_shape(grid: Grid, order: AxisOrder) -> tuple[int, ...]:
    """The image's shape in the axis order of the file of marks."""
    if len(grid.shape) == 2:
        return grid.shape
    places = np.abs(native_to_canonical(grid)[:3, :3]).argmax(axis=0)
    native = tuple(grid.shape[place] for place in places)
    return native if order == "ijk" else native[::-1]
