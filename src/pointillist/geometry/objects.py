"""From classes to objects: connected components with stated rules for specks and holes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pointillist.errors import InputError
from pointillist.types import AnyArray, InstanceMap, Mask

_EIGHT = np.ones((3, 3), bool)


@dataclass(frozen=True)
class ObjectRules:
    """What counts as an object.

    Attributes:
        min_area: smaller components are dropped, in pixels. 64 as in Scribble2Label's evaluation.
        max_hole: larger holes are kept, in pixels; None fills all, 0 none.

    Raises:
        InputError: if one of them is negative.
    """

    min_area: int = 64
    max_hole: int | None = None

    def __post_init__(self) -> None:
        for option, value in (("--min-object", self.min_area), ("--max-hole", self.max_hole)):
            if value is not None and value < 0:
                raise InputError(
                    "an area cannot be negative",
                    where=option,
                    expected="a number of pixels, 0 or more",
                    received=value,
                    todo="give an area in pixels of the image",
                )


DEFAULT_RULES = ObjectRules()
"""Those of Scribble2Label's evaluation: 64 pixels, every hole filled."""


def objects_of(labels: AnyArray, rules: ObjectRules) -> tuple[InstanceMap, tuple[int, ...]]:
    """Number the objects of every class.

    Per class: 8-connected components; those under ``rules.min_area`` pixels are dropped; what an object encloses of
    background, and of what was dropped, becomes part of it where the hole (4-connected) has at most
    ``rules.max_hole`` pixels, while other classes inside it stay what they are; components again.

    Args:
        labels: ``(h, w)`` class of every pixel, 0 = background.
        rules: what counts as an object.

    Returns:
        ``(h, w)`` object numbers 1 … n, class by class and in each from top to bottom, and the class of each.
    """
    numbers: InstanceMap = np.zeros(labels.shape, dtype=np.int32)
    classes: list[int] = []
    for cls in np.unique(labels[labels > 0]).tolist():
        mask = labels == cls
        kept = _large(mask, rules.min_area)
        kept |= _holes(kept, rules.max_hole) & (mask | (labels == 0))
        parts, count = ndimage.label(kept, _EIGHT)
        numbers[kept] = parts[kept] + len(classes)
        classes += [cls] * count
    return numbers, tuple(classes)


def _large(mask: Mask, min_area: int) -> Mask:
    parts, _ = ndimage.label(mask, _EIGHT)
    large = np.bincount(parts.ravel()) >= min_area
    large[0] = False
    kept: Mask = large[parts]
    return kept


def _holes(mask: Mask, max_hole: int | None) -> Mask:
    """What the mask encloses, without the holes that are too large."""
    holes: Mask = ndimage.binary_fill_holes(mask) & ~mask
    if max_hole is None:
        return holes
    parts, _ = ndimage.label(holes)
    small = np.bincount(parts.ravel()) <= max_hole
    small[0] = False
    kept: Mask = small[parts]
    return kept
