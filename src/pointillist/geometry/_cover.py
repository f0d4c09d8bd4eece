"""Which pixels a polyline covers: thin lines for all strokes at once, thick lines by exact row intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pointillist.types import Floats

Ints = NDArray[np.int64]

_FAR = 2.0**29  # beyond this a vertex counts as lying here, which keeps the integer arithmetic below 2⁶³
_SLACK = 1e-9  # pixels; "within half the width" includes the rim in spite of rounding


def nearest_pixel(points: Floats, size: tuple[int, int]) -> Ints:
    """Round ``(n, 2)`` row, column to whole pixels, halves upwards.

    Exactly on the far border of the image, at ``size − 0.5``, the last pixel is taken, not the one outside.
    """
    near = np.clip(points, -_FAR, _FAR)
    far_border = np.asarray(size) - 0.5
    whole: Floats = np.floor(near + 0.5) - (near == far_border)
    return whole.astype(np.int64)


def thin(start: Ints, end: Ints, size: tuple[int, int]) -> tuple[Ints, Ints]:
    """Draw one-pixel-wide, 8-connected lines, all at once.

    Every step moves one pixel along the longer axis of its segment, and the other coordinate is rounded (halves
    upwards): Bresenham's line in closed form. Only the steps within the image along the longer axis are made, so
    a segment costs at most one side of the image however far away its ends are.

    Args:
        start: ``(m, 2)`` first pixel of each segment.
        end: ``(m, 2)`` last pixel of each segment; may equal the first.
        size: rows and columns of the image.

    Returns:
        ``(p, 2)`` pixels inside the image, segment by segment, and ``(p,)`` the segment of each.
    """
    delta = end - start
    steps = np.abs(delta).max(axis=1)
    segments = np.arange(len(start))
    longer = np.abs(delta).argmax(axis=1)
    origin, sign = start[segments, longer], np.sign(delta[segments, longer])
    last = np.asarray(size)[longer] - 1
    first_step = np.maximum(0, np.where(sign < 0, origin - last, -origin))
    last_step = np.minimum(steps, np.where(sign < 0, origin, last - origin))
    which, step = _ranges(first_step, last_step)
    length = np.maximum(steps, 1)[which, None]
    pixels = start[which] + (2 * step[:, None] * delta[which] + length) // (2 * length)
    seen = ((pixels >= 0) & (pixels < size)).all(axis=1)
    return pixels[seen], which[seen]


def thick(points: Floats, width: float, size: tuple[int, int]) -> Ints:
    """Find every pixel whose centre is at most half the width from a polyline.

    The neighbourhood of a segment is convex, so each image row meets it in one interval; the union of these
    intervals is counted in a difference array. The cost is (segments × width + bounding box), without a distance
    for every pixel and segment.

    Args:
        points: ``(n, 2)`` vertices, row and column, in pixels.
        width: full width in pixels.
        size: rows and columns of the image.

    Returns:
        ``(p, 2)`` pixels inside the image, each once.
    """
    start = np.clip(points, -_FAR, _FAR)
    end = np.vstack([start[1:], start[-1:]])
    radius = width / 2
    top = np.maximum(np.ceil(np.minimum(start, end)[:, 0] - radius - _SLACK), 0).astype(np.int64)
    bottom = np.minimum(np.floor(np.maximum(start, end)[:, 0] + radius + _SLACK), size[0] - 1).astype(np.int64)
    which, row = _ranges(top, bottom)
    left, right = _interval(start[which], end[which], row, radius)
    left = np.maximum(np.ceil(left - _SLACK), 0)
    right = np.minimum(np.floor(right + _SLACK), size[1] - 1)
    some = left <= right
    if not some.any():
        return np.zeros((0, 2), dtype=np.int64)
    row, left, right = row[some], left[some].astype(np.int64), right[some].astype(np.int64)
    corner = np.array([row.min(), left.min()])
    border = np.zeros((np.ptp(row) + 1, right.max() - corner[1] + 2), dtype=np.int32)
    np.add.at(border, (row - corner[0], left - corner[1]), 1)
    np.add.at(border, (row - corner[0], right + 1 - corner[1]), -1)
    pixels: Ints = np.argwhere(border.cumsum(axis=1) > 0) + corner
    return pixels


def _interval(start: Floats, end: Floats, row: Ints, radius: float) -> tuple[Floats, Floats]:
    """Find the columns between which a row is within ``radius`` of a segment (left > right where nowhere)."""
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for centre in (start, end):
        square = radius**2 - (row - centre[:, 0]) ** 2
        half = np.where(square >= -_SLACK, np.sqrt(np.maximum(square, 0)), -np.inf)
        left, right = np.minimum(left, centre[:, 1] - half), np.maximum(right, centre[:, 1] + half)
    along = end - start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), _SLACK)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (radius / length)[:, None]
    level = np.abs(along[:, 0]) <= _SLACK  # its rows meet the discs at both ends, and dividing may overflow
    rise = np.where(level, 1.0, along[:, 0])
    for side in (start + across, start - across):
        fraction = (row - side[:, 0]) / rise
        crosses = ~level & (fraction >= 0) & (fraction <= 1)
        column = side[:, 1] + fraction * along[:, 1]
        left = np.where(crosses, np.minimum(left, column), left)
        right = np.where(crosses, np.maximum(right, column), right)
    return left, right


def _ranges(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Write out all integer ranges ``first … last``: the range each value belongs to, and the value."""
    counts = np.maximum(last - first + 1, 0)
    which = np.repeat(np.arange(len(first)), counts)
    begin = np.cumsum(counts) - counts
    return which, first[which] + np.arange(len(which)) - begin[which]
