"""Strokes as sample points, so that moving them is an affine map and drawing them is one scatter.

The points of a stroke lie at most half a pixel apart on the pixels it covers, placed so that every one rounds to a
pixel that ``pointillist.geometry.strokes.rasterise`` draws: unmoved, the points give its raster exactly. Moved,
every point marks the pixel it falls in, so a stroke never vanishes and never has gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pointillist.data.cache.grids import GridName, placement
from pointillist.geometry._cover import nearest_pixel, thick, thin
from pointillist.types import Floats, Stroke

_QUARTERS = np.array([(-0.25, -0.25), (-0.25, 0.25), (0.25, -0.25), (0.25, 0.25)])


@dataclass(frozen=True, eq=False)
class Samples:
    """The sample points of one slice.

    Attributes:
        points: ``(p, 2)`` float32 row, column in cached pixels.
        classes: ``(p,)`` uint8.
        strokes: ``(p,)`` int32, the place of the stroke in drawing order; later strokes win.
    """

    points: NDArray[np.float32]
    classes: NDArray[np.uint8]
    strokes: NDArray[np.int32]


def slice_samples(
    strokes: Sequence[tuple[int, Stroke]], native: tuple[int, int], cached: tuple[int, int], grid: GridName
) -> Samples:
    """Sample the strokes of one slice after it was resized.

    Args:
        strokes: each with its place in drawing order, points in native pixels of this slice.
        native: rows and columns of the slice as stored in the dataset.
        cached: rows and columns in the cache.
        grid: how it was resized.
    """
    places = [placement(grid, n, m) for n, m in zip(native, cached, strict=True)]
    factors, shifts = (np.array(values) for values in zip(*places, strict=True))
    points = [_sampled(stroke, factors, shifts, native, cached) for _, stroke in strokes]
    lengths = [len(one) for one in points]
    return Samples(
        np.concatenate([*points, np.zeros((0, 2))]).astype(np.float32),
        np.repeat(np.array([stroke.cls for _, stroke in strokes], dtype=np.uint8), lengths),
        np.repeat(np.array([place for place, _ in strokes], dtype=np.int32), lengths),
    )


def _sampled(
    stroke: Stroke, factors: Floats, shifts: Floats, native: tuple[int, int], cached: tuple[int, int]
) -> Floats:
    vertices = stroke.points[:, :2]
    last = np.asarray(native) - 1.0
    beyond: Floats = np.maximum(-0.5 - vertices, vertices - last - 0.5).max(axis=1, keepdims=True)
    vertices = np.where(beyond <= 0, np.clip(vertices, 0, last), vertices) * factors + shifts
    corners = nearest_pixel(vertices, cached)
    line = _joined(thin(corners, np.vstack([corners[1:], corners[-1:]]), cached)[0].astype(np.float64))
    width = stroke.width_px * factors.min()
    if stroke.width_px <= 1 or width <= 1:
        return line
    area = thick(vertices, width, cached)
    return np.concatenate([line, (area[:, None] + _QUARTERS).reshape(-1, 2)])


def _joined(path: Floats) -> Floats:
    """Add the thirds between neighbouring pixels of a path, which round to one of the two."""
    step: Floats = np.diff(path, axis=0)
    length: Floats = np.abs(step).max(axis=1, initial=0)
    near: NDArray[np.bool_] = (length > 0) & (length <= 1)
    first, step = path[:-1][near], step[near]
    return np.concatenate([path, first + step / 3, first + step * (2 / 3)])
