"""Which marked pixels touch, as a sparse graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

Graph = Any
"""A ``scipy.sparse`` array (SciPy has no types)."""


def pixel_graph(pixels: NDArray[np.int64], classes: NDArray[np.uint8], size: tuple[int, int]) -> Graph:
    """Join pixels that are 8-neighbours in one slice and share their class.

    Args:
        pixels: ``(n, 3)`` slice, row, column, in ascending order, as ``np.argwhere`` lists them.
        classes: ``(n,)`` class of each.
        size: rows and columns of a slice.

    Returns:
        Symmetric ``(n, n)`` adjacency in compressed rows.
    """
    wide = size[1] + 1  # one empty column and row, so that no neighbour wraps around
    place = (pixels[:, 0] * (size[0] + 1) + pixels[:, 1]) * wide + pixels[:, 2]
    target = (place[:, None] + np.array([1, wide - 1, wide, wide + 1])).ravel()
    found = np.minimum(np.searchsorted(place, target), len(place) - 1)
    source = np.repeat(np.arange(len(place)), 4)
    touch = (place[found] == target) & (classes[found] == classes[source])
    ends = np.concatenate([source[touch], found[touch]]), np.concatenate([found[touch], source[touch]])
    return coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(len(place), len(place))).tocsr()
