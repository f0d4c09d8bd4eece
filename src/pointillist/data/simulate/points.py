"""Single pixels as marks: the points of PSCV and the point pairs of CVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from pointillist.data.simulate._morphology import classes_in
from pointillist.types import Stroke

if TYPE_CHECKING:
    from pointillist.types import LabelMap, Mask


def random_point(dense: LabelMap, rng: np.random.Generator, *, count: int = 1, width_px: float = 1.0) -> list[Stroke]:
    """Draw random pixels of each class present in a slice, background included.

    Source: En & Guo, PSCV: one uniformly random pixel per class. Points stay coordinates here, to be rasterised
    after resizing; a pixel drawn at 512 × 512 and resized by nearest neighbour to 256 × 256 is lost three times
    out of four.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: source of randomness.
        count: points per class; fewer where the class has fewer pixels.
        width_px: width of the points. A point wider than a pixel is placed where it fits into its class; where
            that is impossible it is one pixel wide. (The papers widen points without looking at the class.)

    Returns:
        Strokes with one vertex, all at different pixels, by class.
    """
    return [point for cls in classes_in(dense) for point in _points(dense == cls, cls, rng, count, width_px)]


def in_out_pairs(dense: LabelMap, rng: np.random.Generator, *, count: int = 3, width_px: float = 1.0) -> list[Stroke]:
    """Draw as many random points in the target as outside of it; with several classes, in each class present.

    Source: Zhang et al., CVM: 3 + 3 points an image of Camelyon16; 5 + 5 points of 3 × 3 pixels a tissue core.
    Same arguments and result as ``random_point``.
    """
    return random_point(dense, rng, count=count, width_px=width_px)


def _points(mask: Mask, cls: int, rng: np.random.Generator, count: int, width_px: float) -> list[Stroke]:
    roomy = np.argwhere(_room(mask, width_px))
    chosen = roomy[rng.choice(len(roomy), min(count, len(roomy)), replace=False)]
    strokes = [Stroke(cls, place[None], width_px) for place in chosen]
    if len(chosen) == count:
        return strokes
    rest = mask.copy()
    rest[tuple(roomy.T)] = False
    narrow = np.argwhere(rest)
    extra = narrow[rng.choice(len(narrow), min(count - len(chosen), len(narrow)), replace=False)]
    return strokes + [Stroke(cls, place[None]) for place in extra]


def _room(mask: Mask, width_px: float) -> Mask:
    """Find where a point of this width stays within its class (and may be cut by the image border)."""
    if width_px <= 1 or mask.all():
        return mask
    room: Mask = ndimage.distance_transform_edt(mask) > width_px / 2
    return room
