"""In the worker: the pyramid of a 2-D image, written band by band, so that no level is ever in memory whole."""

from __future__ import annotations

import math
from typing import IO

import numpy as np

from pointillist.app.planes import TILE, halved, pyramid, tiles_of
from pointillist.types import AnyArray


class PyramidWriter:
    """Takes the rows of an image from above and writes the tiles of every level.

    Args:
        file: where to, from its beginning.
        size: rows and columns of the image.
        channels: values a pixel.
        dtype: of the values.
        labels: whether it is a label map.
    """

    def __init__(
        self, file: IO[bytes], size: tuple[int, int], channels: int, dtype: np.dtype[np.generic], *, labels: bool
    ) -> None:
        self._file, self._channels, self._dtype, self._labels = file, channels, dtype, labels
        self._sizes = list(pyramid(size))
        counts = [math.prod(tiles_of(one)) for one in self._sizes]
        self._first = [sum(counts[:level]) for level in range(len(counts))]
        self._waiting: list[list[AnyArray]] = [[] for _ in self._sizes]
        self._bands = [0] * len(self._sizes)

    def add(self, rows: AnyArray, level: int = 0) -> None:
        """Take the next rows, ``(n, w, c)``."""
        self._waiting[level].append(rows)
        while sum(len(one) for one in self._waiting[level]) >= TILE:
            stack = np.concatenate(self._waiting[level])
            self._waiting[level] = [stack[TILE:]]
            self._write(level, stack[:TILE])

    def finish(self) -> None:
        """Write what is left of every level."""
        for level in range(len(self._sizes)):
            rest = np.concatenate(self._waiting[level])
            self._waiting[level] = []
            if len(rest):
                self._write(level, rest)

    def _write(self, level: int, band: AnyArray) -> None:
        across = tiles_of(self._sizes[level])[1]
        size = TILE * TILE * self._channels * self._dtype.itemsize
        self._file.seek((self._first[level] + self._bands[level] * across) * size)
        self._bands[level] += 1
        for column in range(across):
            tile = np.zeros((TILE, TILE, self._channels), self._dtype)
            part = band[:, column * TILE : (column + 1) * TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            self._file.write(tile.data)
        if level + 1 < len(self._sizes):
            self.add(halved(band, labels=self._labels), level + 1)
