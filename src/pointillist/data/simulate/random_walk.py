"""Random-walk scribbles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.morphology import dilation

from pointillist.data.simulate._morphology import by_class, closed, skeleton_of, thickened

if TYPE_CHECKING:
    from pointillist.types import LabelMap, Mask

_LENGTH = 0.10  # of the pixels of the class
_TRIES = 4000


def random_walk(dense: LabelMap, rng: np.random.Generator, *, width_px: float = 2.0) -> LabelMap:
    """Draw a random walk within each class, background included, smooth it and widen it within the class.

    A walk visits 10 % of the pixels of its class, at least one, or ends after 4000 tries. It steps to one of the
    8 neighbours, never leaves the class and never returns to the row or the column it was in before the current
    pixel. Then: dilate, close, skeletonise, widen.

    Source: Valvano et al., multiscale adversarial attention gates, and their public generator. Theirs holds the
    walk within the image by the width in both directions, which fails on images that are not square; here the
    rim around the image is simply outside of every class.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: source of randomness.
        width_px: width of the lines.

    Returns:
        ``(h, w)`` marks, ``IGNORE`` elsewhere.
    """

    def draw(mask: Mask, _: int) -> Mask:
        walked = _walk(mask, rng)
        smooth = thickened(skeleton_of(closed(dilation(walked))), mask, width_px)
        return smooth if smooth.any() else walked

    return by_class(dense, draw)


def _walk(mask: Mask, rng: np.random.Generator) -> Mask:
    """Walk; a loop over the tries, since each step depends on the one before."""
    inside = np.pad(mask, 1).tolist()
    places = np.argwhere(mask) + 1
    target = int(_LENGTH * len(places))
    row, column = places[rng.integers(len(places))].tolist()
    last_row = last_column = -1
    visited = {(row, column)}
    for down, right in rng.integers(-1, 2, (_TRIES, 2)).tolist():
        if len(visited) >= target:
            break
        next_row, next_column = row + down, column + right
        if next_row != last_row and next_column != last_column and inside[next_row][next_column]:
            last_row, last_column, row, column = row, column, next_row, next_column
            visited.add((row, column))
    walked = np.zeros(mask.shape, dtype=bool)
    walked[tuple(np.array(sorted(visited)).T - 1)] = True
    return walked
