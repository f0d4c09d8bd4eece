"""Polygons to pixels: a scan line over every edge at once, whatever the number of vertices."""

from __future__ import annotations

import numpy as np

from pointillist.types import Floats, Mask


def filled(points: Floats, shape: tuple[int, int]) -> tuple[tuple[slice, slice], Mask]:
    """Find the pixels whose centre lies inside a polygon, by the even-odd rule.

    A centre on an edge belongs to the polygon that has the edge above it or to its left, so that polygons which share
    an edge share no pixel. Time goes with the area of the window and with the number of rows that edges cross; a test
    of every pixel against every vertex takes 9 s for one outline of 2,000 vertices on a 4096² crop.

    Args:
        points: ``(n, 2)`` row, column of the vertices, finite; pixel centres are whole numbers. The last vertex is
            joined to the first.
        shape: rows and columns of the image, beyond which the polygon is cut off.

    Returns:
        The window of the image that the polygon may touch, and ``(rows, columns)`` of that window, true inside.
    """
    if len(points) == 0:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), bool)
    bounds = [_clipped(edge(points, axis=0), shape) for edge in (np.min, np.max)]
    (top, left), (bottom, right) = bounds
    toggles = np.zeros((bottom - top, right - left + 1), bool)  # the last column holds what lies beyond the window
    begin, end = points, np.roll(points, -1, axis=0)
    first, last = (np.clip(np.ceil(side(begin[:, 0], end[:, 0])), top, bottom).astype(np.int64)
                   for side in (np.minimum, np.maximum))  # fmt: skip
    count = last - first
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    rise, run = (end - begin)[edge].T
    crossing = begin[edge, 1] + (row - begin[edge, 0]) * run / rise
    column = np.clip(np.ceil(crossing), left, right).astype(np.int64)
    np.logical_xor.at(toggles, (row - top, column - left), True)
    inside: Mask = np.logical_xor.accumulate(toggles, axis=1)[:, :-1]
    return (slice(top, bottom), slice(left, right)), inside


def signed_area(points: Floats) -> float:
    """Area that a ring encloses, in square pixels: positive where columns turn towards rows, negative otherwise.

    Args:
        points: ``(n, 2)`` row, column; the last vertex is joined to the first.
    """
    row, column = points.T
    return float((column * np.roll(row, -1) - np.roll(column, -1) * row).sum() / 2)


def _clipped(corner: Floats, shape: tuple[int, int]) -> tuple[int, int]:
    row, column = (int(np.clip(np.ceil(place), 0, size)) for place, size in zip(corner, shape, strict=True))
    return row, column
