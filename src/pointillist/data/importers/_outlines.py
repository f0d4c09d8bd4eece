"""Outlines that were drawn by hand, as label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pointillist.data.formats.markup import Polygon
from pointillist.geometry.polygon import filled
from pointillist.types import InstanceMap, LabelMap


def instances_of(polygons: Sequence[Polygon], shape: tuple[int, ...], name: str) -> tuple[InstanceMap, list[str]]:
    """Number outlines 1, 2, … in their order; a pixel of two belongs to the first, and to none where a hole is.

    Args:
        polygons: of the objects, and holes.
        shape: of the image.
        name: of the file, for the notes.

    Returns:
        ``(h, w)`` numbers, and notes on overlaps, on outlines without a pixel of their own, and on holes.
    """
    numbers: InstanceMap = np.zeros(shape, dtype=np.int32)
    objects = [polygon for polygon in polygons if not polygon.hole]
    overlap = empty = 0
    for number, polygon in enumerate(objects, start=1):
        window, inside = filled(polygon.points, (shape[0], shape[1]))
        there = numbers[window]
        taken = inside & (there > 0)
        overlap += int(taken.sum())
        empty += not (inside & ~taken).any()
        there[inside & ~taken] = number
    holes = [polygon for polygon in polygons if polygon.hole]
    for polygon in holes:
        window, inside = filled(polygon.points, (shape[0], shape[1]))
        numbers[window][inside] = 0
    counts = {
        f"overlap: {overlap} pixels lie in two outlines, the first keeps them ({name})": overlap,
        f"empty-outline: {empty} outlines hold no pixel centre of their own ({name})": empty,
        f"negative-region: {len(holes)} holes were cut out ({name})": len(holes),
    }
    return numbers, [note for note, count in counts.items() if count]


def regions_of(
    polygons: Sequence[Polygon], cls: Callable[[Polygon], int], shape: tuple[int, ...], background: int
) -> LabelMap:
    """Draw outlines of regions, those of class 0, which cut out, after all others.

    Args:
        polygons: in pixels of the image.
        cls: class of an outline.
        shape: of the image.
        background: what pixels outside of every outline are.
    """
    labels: LabelMap = np.full(shape, background, dtype=np.uint8)
    for polygon in sorted(polygons, key=lambda one: cls(one) == 0):
        window, inside = filled(polygon.points, (shape[0], shape[1]))
        labels[window][inside] = cls(polygon)
    return labels
