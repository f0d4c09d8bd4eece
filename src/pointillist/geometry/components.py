"""Connected parts of label maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from pointillist.types import AnyArray, Mask


def largest_components(classes: AnyArray) -> AnyArray:
    """Keep of every image each class's largest part, as far as it lies in the largest part of all foreground.

    Parts are connected along edges. Of two equally large ones the first in reading order is kept.

    Args:
        classes: ``(b, h, w)`` class indices below 256, 0 = background.

    Returns:
        ``(b, h, w)`` of the same kind, background where a pixel was dropped.

    Source: CycleMix ``inference.py`` (Zhang & Zhuang, CVPR 2022).
    """
    kept = _in_largest(classes) & _in_largest((classes > 0).astype(classes.dtype))
    return np.where(kept, classes, 0).astype(classes.dtype)


def _in_largest(classes: AnyArray) -> Mask:
    """``(b, h, w)`` whether a pixel lies in the largest part of its class in its image."""
    count, height, width = classes.shape
    # one below the other, a row of background between them, so that one call finds the parts of all
    stacked = np.pad(classes, ((0, 0), (0, 1), (0, 0)))
    found = label(stacked.reshape(-1, width), connectivity=1, background=0)  # type: ignore[no-untyped-call]
    parts: NDArray[np.int64] = found.reshape(stacked.shape)
    sizes = np.bincount(parts.ravel())
    number = len(sizes)
    owner = np.zeros(number, dtype=np.int64)  # image and class of each part
    owner[parts] = np.arange(count)[:, None, None] * 256 + stacked
    rank = sizes * number - np.arange(number)  # by size, then the first
    best = np.zeros(count * 256, dtype=np.int64)
    np.maximum.at(best, owner[1:], rank[1:])
    largest = rank == best[owner]
    largest[0] = False
    inside: Mask = largest[parts[:, :height]]
    return inside
