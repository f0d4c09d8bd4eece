"""The few shape operations that the scribble generators share, on one 2-D class mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage
from skimage import morphology

from pointillist.types import IGNORE, LabelMap, Mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointillist.types import Floats

EIGHT = np.ones((3, 3), dtype=bool)
"""Structuring element of 8-connected components."""


def classes_in(dense: LabelMap) -> list[int]:
    """List the classes of a slice in ascending order, without ``IGNORE``."""
    present = np.flatnonzero(np.bincount(dense.ravel(), minlength=IGNORE)[:IGNORE])
    return [int(cls) for cls in present]


def by_class(dense: LabelMap, draw: Callable[[Mask, int], Mask]) -> LabelMap:
    """Draw in every class that is present: ``draw(mask, cls)`` returns the scribble, kept within the mask."""
    marks = np.full(dense.shape, IGNORE, dtype=np.uint8)
    for cls in classes_in(dense):
        mask = dense == cls
        marks[draw(mask, cls) & mask] = cls
    return marks


def skeleton_of(mask: Mask, method: Literal["zhang", "lee"] = "zhang") -> Mask:
    """Thin a mask to lines of one pixel; every 8-connected part keeps at least one pixel."""
    thinned: Mask = morphology.skeletonize(mask, method=method)  # type: ignore[no-untyped-call]
    return thinned.astype(bool)


def closed(mask: Mask) -> Mask:
    """Close gaps of one pixel with the 4-neighbour cross."""
    result: Mask = morphology.closing(mask).astype(bool)
    return result


def thickened(line: Mask, mask: Mask, width_px: float) -> Mask:
    """Widen a line within its class to every pixel at most half the width from it (2 px adds the 4 neighbours)."""
    if width_px < 2:
        return line & mask
    distance: Floats = ndimage.distance_transform_edt(~line)
    return (distance <= width_px / 2) & mask
