"""Scribble2Label's automatic scribbles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.feature import corner_harris, corner_peaks

from pointillist.data.simulate._morphology import EIGHT, classes_in, skeleton_of, thickened
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.types import AnyArray, LabelMap, Mask

_CORNER_DISTANCE_PX = 5
_CORNER_THRESHOLD = 0.1  # of the strongest corner; scikit-image's default when the authors wrote their code


def s2l(dense: LabelMap, rng: np.random.Generator, *, fraction: float = 1.0, width_px: float = 1.0) -> LabelMap:
    """Draw a part of the skeletons of each class, and as many pieces of the skeleton of the background.

    Foreground: the connected parts of the skeleton of each class, of which a random fraction is kept (rounded up).
    Background: the skeleton of what is not foreground, cut into pieces by 3 × 3 holes at its Harris corners
    (at least 5 px apart); as many random pieces are kept as parts of all foreground classes, all if there are
    fewer, and one where the slice has no foreground.

    Source: Lee & Jeong, Scribble2Label, and their public preparation script, for one foreground class. The script
    computes the complement by letting 8-bit numbers wrap around and fails where the background has fewer pieces
    than the foreground, or none.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: source of randomness.
        fraction: of the connected skeletons to keep, in (0, 1]; 0.1, 0.3, 0.5 and 1 in the paper.
        width_px: width of the lines.

    Returns:
        ``(h, w)`` marks, ``IGNORE`` elsewhere.
    """
    marks = np.full(dense.shape, IGNORE, dtype=np.uint8)
    drawn = 0
    for cls in (cls for cls in classes_in(dense) if cls > 0):
        mask = dense == cls
        parts, n = ndimage.label(skeleton_of(mask), EIGHT)
        kept = math.ceil(n * fraction - 1e-9)
        marks[thickened(_some(parts, n, kept, rng), mask, width_px)] = cls
        drawn += kept
    background = dense == 0
    if background.any():
        pieces, n = ndimage.label(_cut_at_corners(skeleton_of(background)), EIGHT)
        marks[thickened(_some(pieces, n, max(drawn, 1), rng), background, width_px)] = 0
    return marks


def _some(parts: AnyArray, n: int, kept: int, rng: np.random.Generator) -> Mask:
    """Select some of ``n`` numbered parts at random."""
    chosen: Mask = np.isin(parts, 1 + rng.choice(n, min(kept, n), replace=False))
    return chosen


def _cut_at_corners(skeleton: Mask) -> Mask:
    """Punch 3 × 3 holes at the corners of a skeleton, unless nothing would remain."""
    if min(skeleton.shape) <= 2 * _CORNER_DISTANCE_PX:  # corners this close to the border do not count
        return skeleton
    strength = corner_harris(skeleton)  # type: ignore[no-untyped-call]
    corners = corner_peaks(  # type: ignore[no-untyped-call]
        strength, min_distance=_CORNER_DISTANCE_PX, threshold_rel=_CORNER_THRESHOLD
    )
    holes = np.zeros(skeleton.shape, dtype=bool)
    holes[tuple(corners.T)] = True
    cut = skeleton & ~ndimage.binary_dilation(holes, EIGHT)
    return cut if cut.any() else skeleton
