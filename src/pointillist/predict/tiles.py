"""A large image by overlapping tiles: band after band of rows, so that memory does not grow with the height."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pointillist.types import AnyArray

_OVERLAP = 0.25  # of a tile's side, at least


def tiled(
    image: AnyArray, tile: int, forward: Callable[[AnyArray], Tensor], batch: int
) -> Iterator[tuple[slice, Tensor]]:
    """Predict an image by tiles whose probabilities fade into each other.

    A tile's weight is a product of two tapers that rise as sin² over the overlap, so no seam shows. An image smaller
    than a tile is mirrored at its right and lower border.

    Args:
        image: ``(h, w, c)``.
        tile: side of a tile in pixels.
        forward: ``(b, c, tile, tile)`` to probabilities ``(b, k, tile, tile)``.
        batch: tiles a forward pass.

    Yields:
        The rows of a finished band, and its probabilities ``(k, rows, w)``, float32; bands follow one another from
        the top, and at most one of them and the rows that still grow, one tile high, are held.
    """
    height, width = image.shape[:2]
    margins = [(0, max(tile - n, 0)) for n in (height, width)]
    padded = np.pad(image, [*margins, (0, 0)], mode="symmetric")
    tops, lefts = (tile_starts(n, tile) for n in padded.shape[:2])
    ends = [*tops[1:], padded.shape[0]]
    growing: Tensor | None = None
    for top, end in zip(tops, ends, strict=True):
        band = _band(padded[top : top + tile], lefts, tile, forward, batch)
        if growing is not None:
            band[:, : growing.shape[1]] += growing
        done, growing = band[:, : end - top], band[:, end - top :].clone()
        visible = done[:, : height - top, :width]
        yield slice(top, top + visible.shape[1]), visible[:-1] / visible[-1]


def tile_starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along an axis of ``length ≥ tile``: evenly, the first at the start, the last at the end."""
    count = math.ceil((length - tile) / (tile * (1 - _OVERLAP))) + 1
    return [round(start) for start in np.linspace(0, length - tile, count)]


def _band(rows: AnyArray, lefts: list[int], tile: int, forward: Callable[[AnyArray], Tensor], batch: int) -> Tensor:
    """Weighted sums of the tiles of one band, ``(k + 1, tile, w)``; the last plane is the sum of the weights."""
    images = np.stack([rows[:, left : left + tile].transpose(2, 0, 1) for left in lefts])
    answers = torch.cat([forward(images[begin : begin + batch]) for begin in range(0, len(images), batch)])
    taper = torch.from_numpy(_taper(tile)).to(answers)
    weight = taper[:, None] * taper
    sums = answers.new_zeros((answers.shape[1] + 1, tile, rows.shape[1]))
    for left, answer in zip(lefts, answers, strict=True):
        sums[:-1, :, left : left + tile] += answer * weight
        sums[-1, :, left : left + tile] += weight
    return sums


def _taper(tile: int) -> NDArray[np.float64]:
    """``(tile,)`` weights: 1 inside, falling as sin² towards both ends, never 0."""
    ramp = max(int(tile * _OVERLAP), 1)
    distance = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 0.5
    return np.sin(np.clip(distance / ramp, 0, 1) * np.pi / 2) ** 2
