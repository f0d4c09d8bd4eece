"""How good the marks of a case are as training labels: how many, of which classes, and whether they contradict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pointillist.data.marks import Marks
from pointillist.geometry.strokes import inside, rasterise
from pointillist.types import IGNORE, LabelMap


@dataclass(frozen=True)
class LabelHealth:
    """The marks of one case, counted.

    Attributes:
        marked: marked pixels of each class.
        pixels: pixels of the image.
        unmarked_slices: slices without any mark (0 or 1 for a 2-D image).
        slices: number of slices.
        outside: indices of strokes that lie wholly outside the image.
        unknown_class: indices of strokes of a class that the task lacks.
        contradictory: pixels that marks of two classes cover; the later one counts.
    """

    marked: tuple[int, ...]
    pixels: int
    unmarked_slices: int
    slices: int
    outside: tuple[int, ...]
    unknown_class: tuple[int, ...]
    contradictory: int


def label_health(labels: LabelMap, marks: Marks | None, base: LabelMap | None, classes: int) -> LabelHealth:
    """Count the marks of one case.

    Args:
        labels: ``(*s)`` label map that training sees, IGNORE where unmarked.
        marks: its strokes, if any were saved, on an image of the same shape.
        base: ``(*s)`` the raster under the strokes, if there is one.
        classes: number of classes, background included.
    """
    strokes = () if marks is None else marks.strokes
    axis = -1 if marks is None or marks.slice_axis is None else marks.slice_axis
    known = [stroke for stroke in strokes if stroke.cls < classes or stroke.cls == IGNORE]
    marked = np.bincount(labels.ravel(), minlength=IGNORE + 1)[:classes]
    by_slice = (
        np.moveaxis(labels, axis, 0).reshape(labels.shape[axis], -1) if labels.ndim == 3 else labels.reshape(1, -1)
    )
    # what was erased before another class was drawn there contradicts nothing
    layers = [
        rasterise([stroke for stroke in known if stroke.cls in (cls, IGNORE)], labels.shape, slice_axis=axis)
        for cls in sorted({stroke.cls for stroke in known} - {IGNORE})
    ]
    if base is not None:
        erasers = [stroke for stroke in known if stroke.cls == IGNORE]
        layers.append(rasterise(erasers, labels.shape, slice_axis=axis, onto=base))
    lies_inside = inside(strokes, labels.shape, slice_axis=axis) if strokes else ()
    return LabelHealth(
        marked=tuple(int(count) for count in marked),
        pixels=labels.size,
        unmarked_slices=int((by_slice == IGNORE).all(axis=1).sum()),
        slices=len(by_slice),
        outside=tuple(index for index, within in enumerate(lies_inside) if not within),
        unknown_class=tuple(index for index, stroke in enumerate(strokes) if classes <= stroke.cls < IGNORE),
        contradictory=_contradictory(layers),
    )


def _contradictory(layers: Sequence[LabelMap]) -> int:
    """Pixels on which two layers state different classes."""
    if len(layers) < 2:
        return 0
    stack = np.stack(layers)
    low = stack.min(axis=0)
    high = np.where(stack == IGNORE, 0, stack).max(axis=0)
    return int(((low != IGNORE) & (high > low)).sum())
