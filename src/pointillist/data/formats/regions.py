"""A raster of marks cut into its connected regions, for files that hold outlines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from pointillist.types import IGNORE, LabelMap, Mask

_EIGHT = np.ones((3, 3), bool)


def regions_of(base: LabelMap) -> Iterator[tuple[int, Mask, tuple[int, int]]]:
    """Class, mask and upper left pixel of every 8-connected region, class by class and from top to bottom.

    Args:
        base: ``(h, w)``, IGNORE where nothing is marked.
    """
    for cls in np.unique(base[base != IGNORE]).tolist():
        numbers, _ = ndimage.label(base == cls, _EIGHT)
        for number, window in enumerate(ndimage.find_objects(numbers), start=1):
            yield cls, numbers[window] == number, (window[0].start, window[1].start)
