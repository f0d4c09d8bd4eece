"""AttenScribble's simulated scribbles of abdominal organs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage.morphology import convex_hull_image

from pointillist.data.simulate._morphology import by_class, skeleton_of, thickened
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.types import LabelMap, Mask

_MARGIN_PX = 5


def hull(dense: LabelMap, rng: np.random.Generator, *, width_px: float = 1.0) -> LabelMap:  # noqa: ARG001
    """Draw the skeleton of each class; in the background also a line around the convex hull of all organs.

    The line is the contour of the hull of everything that is not background, dilated by 5 px; it is left out where
    it would run along the border of the image. A slice without organs gets four background lines, along the rows at
    1/3 and 2/3 of the height and the columns at 1/3 and 2/3 of the width.

    Source: Tian et al., AttenScribble, which describes the skeletons and the hull; the four lines are in its code
    (code/dataloaders/chaos_data_processing.py). The generator itself was not released. Reading: "pixels falling
    outside of these defined boundaries were left unclassified" means what no line covers, and the skeleton of the
    background is that of the whole background, as in the generator of Valvano et al. that the paper follows.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: not used, nothing is random here.
        width_px: width of the lines.

    Returns:
        ``(h, w)`` marks, ``IGNORE`` elsewhere.
    """
    organs = (dense != 0) & (dense != IGNORE)

    def draw(mask: Mask, cls: int) -> Mask:
        lines = skeleton_of(mask)
        if cls == 0 and organs.any():
            lines |= _around(organs)
        elif cls == 0:
            grid = _thirds(mask.shape)
            lines = grid & mask if (grid & mask).any() else lines
        return thickened(lines, mask, width_px)

    return by_class(dense, draw)


def _around(organs: Mask) -> Mask:
    """The outermost pixels of the dilated convex hull."""
    filled = convex_hull_image(organs)  # type: ignore[no-untyped-call]
    wide: Mask = ndimage.distance_transform_edt(~filled) <= _MARGIN_PX
    contour: Mask = wide & ~ndimage.binary_erosion(wide, border_value=1)
    return contour


def _thirds(shape: tuple[int, ...]) -> Mask:
    lines = np.zeros(shape, dtype=bool)
    for part in (1, 2):
        lines[shape[0] * part // 3, :] = True
        lines[:, shape[1] * part // 3] = True
    return lines
