"""In the worker: images decoded once into the files that ``planes`` reads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from pointillist.app.banded import PyramidWriter
from pointillist.app.large_tiff import bands
from pointillist.app.places import base_path, image_path
from pointillist.app.planes import TILE, Planes
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid
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
    with bands(found.images[0]) as large:
        if large is not None and len(found.images) == 1:
            _write_bands(target, *large)
            return
    image = dataset.image(found)
    colour = len(found.images) == 1 and image.channels == 3
    write_planes(target, image.array, image.grid, colour=colour, labels=False)


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
    write_planes(target, base, labels.grid, colour=False, labels=True)


def write_planes(target: Path, array: AnyArray, grid: Grid, *, colour: bool, labels: bool) -> None:
    """Write a decoded image as ``pointillist.app.planes`` reads it, whole or not at all."""
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    stacked = array.reshape(*grid.shape, -1)
    channels = stacked.shape[-1]
    axis = grid.slice_axis if len(grid.shape) == 3 else None
    window = _window(array, colour=colour)
    with _appearing(target, array.nbytes) as (file, describe):
        describe(Planes(target, grid.shape, axis, array.dtype.str, channels, colour, labels, *window))
        if axis is None:
            writer = PyramidWriter(file, (grid.shape[0], grid.shape[1]), channels, array.dtype, labels=labels)
            for top in range(0, grid.shape[0], TILE):
                writer.add(stacked[top : top + TILE])
            writer.finish()
            return
        for channel in range(channels):
            for plane in np.moveaxis(stacked[..., channel], axis, 0):
                file.write(np.ascontiguousarray(plane).data)


def _write_bands(
    target: Path, shape: tuple[int, int, int], dtype: np.dtype[np.generic], rows: Iterator[AnyArray]
) -> None:
    """Write an image that is too large to be in memory; its window is read from a sample."""
    height, width, channels = shape
    colour = channels == 3
    step = max(1, round((height * width / _SAMPLE) ** 0.5))
    samples: list[AnyArray] = []
    with _appearing(target, height * width * channels * dtype.itemsize) as (file, describe):
        writer = PyramidWriter(file, (height, width), channels, dtype, labels=False)
        for band in rows:
            samples.append(band[:: min(step, len(band)), ::step].reshape(-1))
            writer.add(band)
        writer.finish()
        window = _window(np.concatenate(samples), colour=colour)
        describe(Planes(target, (height, width), None, dtype.str, channels, colour, False, *window))


@contextmanager
def _appearing(target: Path, size: int) -> Iterator[tuple[IO[bytes], Callable[[Planes], None]]]:
    """A file for pixels, and what describes it; both appear complete, or not at all."""
    described: list[Planes] = []
    _make_room(target.parent, int(size * 1.5))
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file, described.append
        Path(name).replace(target)
        write_json(target.with_suffix(".json"), described[0].describe())
    finally:
        Path(name).unlink(missing_ok=True)


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
