"""Strokes to pixels and back: rasterise, trace, scale, simplify.

Strokes are kept as coordinates, moved with the image, and rasterised after it was resized, because a raster of
marks does not survive resizing: a single pixel drawn at 512 × 512 is still there at 256 × 256 with probability
1/4 when labels are resized by nearest neighbour.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import approximate_polygon

from pointillist.errors import GeometryError, InputError
from pointillist.geometry._cover import Ints, nearest_pixel, thick, thin
from pointillist.geometry._planes import Planes, planes_of
from pointillist.geometry.trace import trace
from pointillist.types import IGNORE, Floats, LabelMap, Mask, Stroke

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["inside", "pixels_of", "rasterise", "scale", "simplify", "trace"]


def rasterise(
    strokes: Sequence[Stroke],
    shape: tuple[int, ...],
    *,
    slice_axis: int = -1,
    onto: LabelMap | None = None,
) -> LabelMap:
    """Draw strokes in order, the later over the earlier.

    A width of at most 1 draws a one-pixel-wide, 8-connected line through the pixels nearest to the vertices
    (halves are rounded up); a single vertex is exactly one pixel. A larger width adds every pixel whose centre is
    at most half the width from the polyline, so a point of width 3 on a pixel centre is the 3 × 3 block around
    it. A vertex on the rim of the image, up to half a pixel outside the outermost pixel centres, belongs to the
    border pixel: a stroke inside the image covers at least one pixel at any size. What lies further outside is
    dropped.

    Args:
        strokes: of a 2-D image with ``(n, 2)`` points, or of a volume with ``(n, 3)`` points (row, column, slice).
        shape: of the map, two or three axes.
        slice_axis: axis of a volume that counts slices; rows and columns are the other two in order. Ignored
            for a 2-D image.
        onto: map to draw over; it is copied, not changed. Default: nothing marked, all
            ``IGNORE``.

    Returns:
        ``uint8`` class indices of the given shape, ``IGNORE`` where nothing was drawn, or an eraser was drawn last.

    Raises:
        GeometryError: if the strokes, the shape and ``onto`` do not fit each other.
    """
    planes = planes_of(shape, slice_axis)
    if onto is not None and onto.shape != tuple(shape):
        raise GeometryError(
            "cannot draw on a map of another shape",
            where="onto",
            expected=shape,
            received=onto.shape,
            todo="give a map of the shape that the strokes are drawn on",
        )
    canvas = np.full(shape, IGNORE, dtype=np.uint8) if onto is None else onto.copy()
    pixels, number = _covered(strokes, planes)
    classes = np.array([stroke.cls for stroke in strokes], dtype=np.uint8)
    planes.view(canvas)[tuple(pixels.T)] = classes[number]  # NumPy keeps the last of repeated indices
    return canvas


def pixels_of(strokes: Sequence[Stroke], shape: tuple[int, ...], slice_axis: int = -1) -> tuple[Ints, Ints]:
    """List the pixels that ``rasterise`` draws, stroke by stroke in drawing order.

    Args:
        strokes: as for ``rasterise``.
        shape: as for ``rasterise``.
        slice_axis: as for ``rasterise``.

    Returns:
        ``(p,)`` places in the flat (row, column[, slice]) array, and ``(p,)`` the number of the stroke of each.

    Raises:
        GeometryError: if the strokes do not fit the shape.
    """
    planes = planes_of(shape, slice_axis)
    pixels, number = _covered(strokes, planes)
    size = planes.size if planes.ndim == 2 else (*planes.size, planes.slices)
    places: Ints = np.ravel_multi_index(tuple(pixels.T), size)
    return places, number


def inside(strokes: Sequence[Stroke], shape: tuple[int, ...], slice_axis: int = -1) -> Mask:
    """Tell per stroke whether ``rasterise`` would draw at least one pixel of it (before others cover it).

    Raises:
        GeometryError: if the strokes do not fit the shape.
    """
    _, number = _covered(strokes, planes_of(shape, slice_axis))
    return np.bincount(number, minlength=len(strokes)) > 0


def scale(
    strokes: Sequence[Stroke], from_shape: tuple[int, ...], to_shape: tuple[int, ...], slice_axis: int = -1
) -> list[Stroke]:
    """Move strokes as resizing moves the image: ``x' = (x + 0.5)·to/from − 0.5`` in plane, slices unchanged.

    A width above 1 is multiplied by the smaller of the two factors and kept at 1 or more, so that a stroke does
    not spread over what it did not cover; lines of width 1 stay one pixel wide.

    Args:
        strokes: ``(n, 2)`` or ``(n, 3)`` points in pixels of ``from_shape``.
        from_shape: shape of the image they were drawn on.
        to_shape: shape of the resized image, with as many slices.
        slice_axis: axis of a volume that counts slices.

    Raises:
        GeometryError: if a shape is empty, or the strokes and the two shapes do not fit each other.
    """
    old, new = planes_of(from_shape, slice_axis), planes_of(to_shape, slice_axis)
    if old.ndim != new.ndim or old.slices != new.slices or 0 in (*old.size, *new.size):
        raise GeometryError(
            "strokes are scaled within their slices only",
            where="to_shape",
            expected=from_shape,
            received=to_shape,
            todo="resize rows and columns alone, to at least one pixel",
        )
    factor = min(new.size[0] / old.size[0], new.size[1] / old.size[1])
    return [_scaled(stroke, old, new, factor) for stroke in old.fitting(strokes)]


def simplify(stroke: Stroke, tolerance_px: float) -> Stroke:
    """Drop vertices as long as the line moves by at most ``tolerance_px`` (Douglas and Peucker 1973).

    Raises:
        InputError: if the tolerance is negative or not a number.
    """
    if not tolerance_px >= 0:
        raise InputError(
            "a tolerance cannot be negative",
            where="tolerance_px",
            expected="0 pixels or more",
            received=tolerance_px,
            todo="use 0 to drop only the vertices that do not move the line",
        )
    kept: Floats = approximate_polygon(stroke.points[:, :2], tolerance_px)  # type: ignore[no-untyped-call]
    depth = np.broadcast_to(stroke.points[:1, 2:], (len(kept), stroke.points.shape[1] - 2))
    return replace(stroke, points=np.hstack([kept, depth]))


def _scaled(stroke: Stroke, old: Planes, new: Planes, factor: float) -> Stroke:
    points = stroke.points.copy()
    # multiplied before it is divided: rounding then never carries a vertex over the far border
    points[:, :2] = (points[:, :2] + 0.5) * new.size / old.size - 0.5
    width = max(1.0, stroke.width_px * factor) if stroke.width_px > 1 else stroke.width_px
    return replace(stroke, points=points, width_px=width)


def _covered(strokes: Sequence[Stroke], planes: Planes) -> tuple[Ints, Ints]:
    """List the pixels of all strokes, ``(p, 2 or 3)`` row, column[, slice], and the stroke of each, in order."""
    if not planes.fitting(strokes):
        return np.zeros((0, planes.ndim), dtype=np.int64), np.zeros(0, dtype=np.int64)
    owner = np.repeat(np.arange(len(strokes)), [len(stroke.points) for stroke in strokes])
    vertices = np.concatenate([stroke.points for stroke in strokes])
    corners = nearest_pixel(vertices[:, :2], planes.size)
    # the last vertex of a stroke becomes a segment to itself, which is all there is of a point
    following = np.minimum(np.arange(1, len(owner) + 1), np.searchsorted(owner, owner, side="right") - 1)
    pixels, segment = thin(corners, corners[following], planes.size)
    broad = [i for i, stroke in enumerate(strokes) if stroke.width_px > 1]
    areas = [thick(strokes[i].points[:, :2], strokes[i].width_px, planes.size) for i in broad]
    number = np.concatenate([owner[segment], np.repeat(broad, [len(area) for area in areas]).astype(np.int64)])
    order = np.argsort(number, kind="stable")
    number, pixels = number[order], np.concatenate([pixels, *areas])[order]
    depth = np.array([stroke.points[0, 2:] for stroke in strokes])[number]
    seen = ((depth >= 0) & (depth < planes.slices)).all(axis=1)
    return np.hstack([pixels[seen], depth[seen].astype(np.int64)]), number[seen]
