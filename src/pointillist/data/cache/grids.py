"""How slices are brought to one size: which source pixel each cached pixel shows, and where a coordinate moves.

``zoom0`` is the grid of the published ACDC protocol: ``scipy.ndimage.zoom(order=0)`` takes the source pixel
``round(i·(n_in − 1)/(n_out − 1))``, corners onto corners. Written out as an index it agrees with SciPy on 99.99 % of
indices (measured over n_in 100 … 519 and n_out 128, 224, 256; where they differ, SciPy's rounding of an exact half
differs) and on at least 99.5 % at every single size. ``bilinear`` and ``area`` put pixel areas onto pixel areas:
``x' = (x + ½)·n_out/n_in − ½``. ``native`` keeps every slice as it is, for random crops.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pointillist.types import AnyArray, Floats

GridName = Literal["zoom0", "bilinear", "area", "native"]
GRIDS: tuple[GridName, ...] = ("zoom0", "bilinear", "area", "native")


def index(grid: GridName, n_in: int, n_out: int) -> NDArray[np.int64]:
    """Source pixel of every cached pixel along one axis, ``(n_out,)``; for labels, and for images of ``zoom0``."""
    position = np.arange(n_out)
    if grid == "zoom0":
        source = np.floor(position * ((n_in - 1) / (n_out - 1)) + 0.5)
    else:
        factor, shift = placement(grid, n_in, n_out)
        source = np.floor((position - shift) / factor + 0.5)
    held: NDArray[np.int64] = np.clip(source, 0, n_in - 1).astype(np.int64)
    return held


def placement(grid: GridName, n_in: int, n_out: int) -> tuple[float, float]:
    """Factor and shift of one axis: cached coordinate = factor · native coordinate + shift.

    With ``zoom0`` a single native pixel fills the axis, and its coordinate lies in the middle.
    """
    if grid == "native":
        return 1.0, 0.0
    if grid == "zoom0":
        return ((n_out - 1) / (n_in - 1), 0.0) if n_in > 1 else (0.0, (n_out - 1) / 2)
    return n_out / n_in, 0.5 * n_out / n_in - 0.5


def resize(image: Floats, grid: GridName, size: int) -> Floats:
    """Bring ``(h, w)`` values to ``(size, size)``; ``native`` returns them as they are."""
    if grid == "native":
        return image
    if grid == "zoom0":
        return resize_labels(image, grid, size)
    weights = _linear if grid == "bilinear" else _overlap
    out: Floats = weights(image.shape[0], size) @ image @ weights(image.shape[1], size).T
    return out


def resize_labels(labels: AnyArray, grid: GridName, size: int) -> AnyArray:
    """Bring ``(h, w)`` labels to ``(size, size)`` by the nearest source pixel; ``native`` returns them as they are."""
    if grid == "native":
        return labels
    rows, columns = (index(grid, n, size) for n in labels.shape)
    return labels[rows[:, None], columns]


def _linear(n_in: int, n_out: int) -> Floats:
    """``(n_out, n_in)`` weights of linear interpolation between pixel centres, the border's value beyond it."""
    position = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    return np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(n_in)))


def _overlap(n_in: int, n_out: int) -> Floats:
    """``(n_out, n_in)`` share of each cached pixel's area that each source pixel covers."""
    edges = np.arange(n_out + 1) * n_in / n_out
    source = np.arange(n_in)
    shared = np.minimum(edges[1:, None], source + 1) - np.maximum(edges[:-1, None], source)
    share: Floats = np.maximum(shared, 0.0) * n_out / n_in
    return share
