"""In the worker: images decoded once into the files that ``planes`` reads."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from pointillist.app.places import base_path, image_path
from pointillist.app.planes import TILE, Planes, halved, pyramid, tiles_of
from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_base
from pointillist.data.writers import write_json
from pointillist.types import IGNORE, AnyArray

_SAMPLE = 1 << 20
_TAILS = (0.5, 99.5)
_MOST_CACHED_BYTES = 4 << 30


def prepare_image(dataset: Dataset, *, case: str, cache: str) -> None:
    """Decode the image of a case."""
    found = dataset.case(case)
    target = image_path(Path(cache), found)
    if Planes.read(target) is not None:
        return
    image = dataset.image(found)
    colour = len(found.images) == 1 and image.channels == 3
    axis = image.grid.slice_axis if len(image.grid.shape) == 3 else None
    _write(target, image.array, image.grid.shape, axis, colour=colour, labels=False)


def prepare_base(dataset: Dataset, *, case: str, cache: str) -> None:
    """Decode what lies under the strokes of a case."""
    found = dataset.case(case)
    target = base_path(Path(cache), found)
    if Planes.read(target) is not None:
        return
    labels = dataset.sparse_labels(found)
    base = read_base(dataset, found, labels)
    if base is None:
        base = labels.array if not found.marks.exists() else np.full(labels.grid.shape, IGNORE, np.uint8)
    axis = labels.grid.slice_axis if len(labels.grid.shape) == 3 else None
    _write(target, base, labels.grid.shape, axis, colour=False, labels=True)


def _write(
    target: Path, array: AnyArray, shape: tuple[int, ...], slice_axis: int | None, *, colour: bool, labels: bool
) -> None:
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    channels = 1 if array.ndim == len(shape) else array.shape[-1]
    low, high, least, most = _window(array, colour=colour)
    planes = Planes(target, shape, slice_axis, array.dtype.str, channels, colour, labels, low, high, least, most)
    _make_room(target.parent, int(array.nbytes * 1.5))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            stacked = array.reshape(*shape, channels)
            if slice_axis is None:
                _write_tiles(file, stacked, labels=labels)
            else:
                for channel in range(channels):
                    for plane in np.moveaxis(stacked[..., channel], slice_axis, 0):
                        file.write(np.ascontiguousarray(plane).data)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    write_json(target.with_suffix(".json"), planes.describe())


def _write_tiles(file: IO[bytes], level: AnyArray, *, labels: bool) -> None:
    for size in pyramid((level.shape[0], level.shape[1])):
        if level.shape[:2] != size:
            level = halved(level, labels=labels)
        across = tiles_of(size)
        for row in range(across[0]):
            for column in range(across[1]):
                tile = np.zeros((TILE, TILE, level.shape[2]), level.dtype)
                part = level[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                tile[: part.shape[0], : part.shape[1]] = part
                file.write(tile.data)


def _window(array: AnyArray, *, colour: bool) -> tuple[float, float, float, float]:
    """Where the window begins and ends that shows an image well, and its extremes."""
    least, most = float(array.min()), float(array.max())
    if colour and array.dtype == np.uint8:
        return 0.0, 255.0, least, most
    flat = array.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // _SAMPLE)], _TAILS)
    return (float(low), float(high), least, most) if high > low else (least, max(most, least + 1), least, most)


def _make_room(cache: Path, wanted: int) -> None:
    """Remove what was decoded longest ago when the folder grows too large."""
    files = sorted(cache.glob("*.image"), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files) + wanted
    for path in files[:-2]:  # what is on the screen, and its neighbour
        if total <= _MOST_CACHED_BYTES:
            return
        total -= path.stat().st_size
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)
