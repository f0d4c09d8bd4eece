"""The highest places of a map that lie apart from each other."""

from __future__ import annotations

import numpy as np

from pointillist.types import AnyArray


def peaks(height: AnyArray, *, apart: float, count: int, least: float = 0.0) -> list[tuple[int, int, float]]:
    """Take the highest pixel, strike out what lies around it, and again: non-maximum suppression in place.

    Args:
        height: ``(h, w)``.
        apart: in pixels; what is nearer than this to a taken pixel is struck out.
        count: at most so many.
        least: no pixel is taken whose height does not exceed this.

    Returns:
        Row, column and height of each, the highest first; of equal ones the first in reading order.
    """
    left = np.array(height, dtype=np.float64)
    reach = int(np.ceil(apart))
    found = []
    for _ in range(count):
        row, column = (int(n) for n in np.unravel_index(left.argmax(), left.shape))
        highest = float(left[row, column])
        if not highest > least:
            break
        found.append((row, column, highest))
        top, start = max(row - reach, 0), max(column - reach, 0)
        around = left[top : row + reach + 1, start : column + reach + 1]
        rows, columns = np.ogrid[: around.shape[0], : around.shape[1]]
        around[np.hypot(rows - (row - top), columns - (column - start)) < max(apart, 1)] = -np.inf
    return found
