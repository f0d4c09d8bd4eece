"""Decoded images on the disk, of which the server reads what a screen shows: a slice, or a tile of a level.

An image is decoded once, by a worker. A volume lies slice by slice; a 2-D image as tiles of every level of a pyramid.
So the server holds no image, and a slice or a tile is one read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointillist.types import AnyArray

TILE = 512


@dataclass(frozen=True)
class Planes:
    """A decoded image.

    Attributes:
        path: its pixels.
        shape: spatial shape, in canonical order.
        slice_axis: of a volume.
        dtype: of the pixels.
        channels: values a pixel.
        colour: whether they are red, green and blue.
        labels: whether it is a label map: smaller levels keep every mark.
        low: where the window begins that shows the image well.
        high: where it ends.
        least: smallest value.
        most: largest value.
    """

    path: Path
    shape: tuple[int, ...]
    slice_axis: int | None
    dtype: str
    channels: int
    colour: bool
    labels: bool
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def read(cls, path: Path) -> Planes | None:
        """The description of a decoded image, or None where there is none."""
        try:
            content = json.loads(path.with_suffix(".json").read_bytes())
            return cls(path=path, **(content | {"shape": tuple(content["shape"])}))
        except (OSError, ValueError, TypeError):
            return None

    def describe(self) -> dict[str, Any]:
        """What the file beside the pixels says."""
        fields = asdict(self)
        del fields["path"]
        return fields

    def size(self, axis: int | None) -> tuple[int, int]:
        """Rows and columns of a plane."""
        rows, columns = (n for place, n in enumerate(self.shape) if place != axis)
        return rows, columns

    def tile(self, axis: int | None, index: int, level: int, place: tuple[int, int], channel: int = 0) -> AnyArray:
        """A tile of a plane, smaller at the right and lower border.

        Args:
            axis: that a volume is cut across; None for a 2-D image.
            index: number of the slice.
            level: n halves rows and columns n times.
            place: column and row of the tile.
            channel: of an image that is not in colour.

        Returns:
            ``(h, w)``, or ``(h, w, 3)`` in colour.

        Raises:
            IndexError: if there is no such tile.
        """
        rows, columns = level_size(self.size(axis), level)
        top, left = place[1] * TILE, place[0] * TILE
        if not (0 <= top < rows and 0 <= left < columns and 0 <= channel < self.channels and level >= 0):
            raise IndexError(place)
        height, width = min(TILE, rows - top), min(TILE, columns - left)
        if axis is None:
            tile = self._stored_tile(level, place)[:height, :width]
            return tile if self.colour else tile[..., channel]
        if not 0 <= index < self.shape[axis]:
            raise IndexError(index)
        plane = self._plane(axis, index, channel)
        for _ in range(level):
            plane = halved(plane, labels=self.labels)
        return plane[top : top + height, left : left + width]

    def _stored_tile(self, level: int, place: tuple[int, int]) -> AnyArray:
        sizes = list(pyramid(self.size(None)))
        if level >= len(sizes):
            raise IndexError(level)
        before = sum(np.prod(tiles_of(size)) for size in sizes[:level])
        number = int(before) + place[1] * tiles_of(sizes[level])[1] + place[0]
        count = TILE * TILE * self.channels
        return self._read(number * count, count).reshape(TILE, TILE, self.channels)

    def _plane(self, axis: int, index: int, channel: int) -> AnyArray:
        assert self.slice_axis is not None  # noqa: S101 - only volumes have axes
        slices = self.shape[self.slice_axis]
        rows, columns = self.size(self.slice_axis)
        start = channel * slices * rows * columns
        if axis == self.slice_axis:
            return self._read(start + index * rows * columns, rows * columns).reshape(rows, columns)
        across = [place for place in range(3) if place != self.slice_axis].index(axis)
        lines = []
        for number in range(slices):
            first = start + number * rows * columns
            if across == 0:
                lines.append(self._read(first + index * columns, columns))
            else:
                lines.append(self._read(first, rows * columns).reshape(rows, columns)[:, index].copy())
        plane = np.stack(lines)  # (slice, the axis that is left)
        left = next(place for place in range(3) if place not in (axis, self.slice_axis))
        return plane if self.slice_axis < left else plane.T

    def _read(self, first: int, count: int) -> AnyArray:
        dtype = np.dtype(self.dtype)
        return np.fromfile(self.path, dtype, count, offset=first * dtype.itemsize)


def level_size(size: tuple[int, int], level: int) -> tuple[int, int]:
    """Rows and columns of a level."""
    return -(-size[0] // (1 << level)), -(-size[1] // (1 << level))


def pyramid(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Sizes of the levels that are stored: down to one tile."""
    yield size
    while max(size) > TILE:
        size = level_size(size, 1)
        yield size


def tiles_of(size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of tiles."""
    return -(-size[0] // TILE), -(-size[1] // TILE)


def halved(array: AnyArray, *, labels: bool) -> AnyArray:
    """Half the rows and columns: means of four pixels; of labels the lowest class, so that no mark vanishes."""
    pad = [(0, array.shape[0] % 2), (0, array.shape[1] % 2), *[(0, 0)] * (array.ndim - 2)]
    even = np.pad(array, pad, mode="edge") if any(array.shape[a] % 2 for a in (0, 1)) else array
    corners = [even[r::2, c::2] for r in (0, 1) for c in (0, 1)]
    if labels:
        lowest: AnyArray = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
        return lowest
    if array.dtype.kind == "f":
        return np.asarray((corners[0] + corners[1] + corners[2] + corners[3]) / 4, dtype=array.dtype)
    wide = np.int64 if array.dtype.itemsize >= 4 else np.int32
    return np.asarray((sum(corner.astype(wide) for corner in corners) + 2) // 4, dtype=array.dtype)
