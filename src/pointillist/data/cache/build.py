"""Make a cache from a dataset, or find the one that is still right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointillist.data.cache.container import is_container, read_meta, write_container
from pointillist.data.cache.grids import resize, resize_labels
from pointillist.data.cache.normalise import moments, normalise
from pointillist.data.cache.packing import pack_bytes, pack_planes
from pointillist.data.cache.samples import Samples, slice_samples
from pointillist.data.cache.settings import FORMAT, CacheSettings, cache_key
from pointillist.data.cache.slices import CachedCase, SliceCache
from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image, same_grid
from pointillist.data.marked import read_base
from pointillist.data.marks import raster_hash
from pointillist.errors import DamagedFileError, DatasetError, GeometryError, InputError
from pointillist.types import IGNORE, AnyArray, LabelMap, Stroke


@dataclass(frozen=True, eq=False)
class _Slice:
    pixels: AnyArray
    label: LabelMap
    samples: Samples
    truth: LabelMap


def cached(dataset: Dataset, settings: CacheSettings, path: Path | None = None) -> SliceCache:
    """Open the dataset's cache, made anew if there is none, it is damaged, or the dataset has changed since.

    Args:
        dataset: what to prepare.
        settings: how.
        path: the file; default: ``DATASET/cache/SETTINGS.slices``.

    Raises:
        PointillistError: as ``build_cache``.
    """
    path = path or default_path(dataset, settings)
    key = cache_key(dataset, settings)
    try:
        if path.exists() and read_meta(path).get("key") == key:
            return SliceCache.open(path)
    except DamagedFileError:
        pass  # a cache is only ever a copy: it is made anew
    return build_cache(dataset, settings, path, key=key)


def default_path(dataset: Dataset, settings: CacheSettings, *, packed: bool = False) -> Path:
    """Where a dataset's cache of these settings lies."""
    return dataset.root / "cache" / f"{settings.name}.{'pack' if packed else 'slices'}"


def build_cache(
    dataset: Dataset, settings: CacheSettings, path: Path, *, packed: bool = False, key: str | None = None
) -> SliceCache:
    """Normalise and resize every slice, and write one file that appears complete or not at all.

    Dense truth is neither opened nor stored unless ``settings.truth`` asks for it.

    Args:
        dataset: what to prepare: marks and images of training cases, images of held-out cases.
        settings: how.
        path: the file to write.
        packed: compressed, to be carried elsewhere.
        key: ``cache_key`` where it is known already.

    Raises:
        InputError: if a setting does not fit the images, or the float16 form is to be packed.
        DatasetError, DamagedFileError, GeometryError, LabelError: what is wrong with a case.
    """
    if packed and settings.stored != "uint8":
        raise InputError(
            "only 8-bit caches are packed",
            where="--pack",
            expected="stored = uint8",
            received=settings.stored,
            todo="add --stored uint8, or leave --pack out",
        )
    if path.exists() and not (path.is_file() and is_container(path)):
        raise InputError(
            "something that is not a cache is in the way",
            where=path,
            expected="a new name, or an older cache",
            received="a file of another kind" if path.is_file() else "a folder",
            todo="choose another name, or remove it",
        )
    mean, std = moments(settings.normalisation, len(dataset.spec.channels))
    key = key or cache_key(dataset, settings)
    cases: list[CachedCase] = []
    slices: list[_Slice] = []
    for side, members in (("Tr", dataset.training), ("Ts", dataset.testing)):
        for case in members:
            image = dataset.image(case)
            begin = len(slices)
            slices += _slices(dataset, case, image, settings)
            cases.append(_record(case, image.grid, side, begin, len(slices)))
    if not slices:
        raise DatasetError(
            "there is no case to make a cache of",
            where=dataset.root,
            expected="images in imagesTr or imagesTs",
            received="none",
            todo="import the images again with `pointillist import`",
        )
    arrays = _arrays(slices, cases, settings)
    meta = {
        "kind": "slices",
        "version": FORMAT,
        "key": key,
        "dataset": dataset.name,
        "classes": dataset.spec.classes,
        "channels": dataset.spec.channels,
        "settings": asdict(settings),
        "contains_dense_truth": settings.truth,
        "mean": mean,
        "std": std,
        "cases": [asdict(case) for case in cases],
        "packed": packed,
    }
    if packed:
        whole = {name: np.concatenate(parts) for name, parts in arrays.items()}
        meta["contents"] = {name: (one.dtype.name, one.shape) for name, one in whole.items() if name != "pixels"}
        planes = np.repeat(whole["sizes"], len(dataset.spec.channels), axis=0)
        arrays = {name: [pack_bytes(one)] for name, one in whole.items() if name != "pixels"}
        arrays["pixels"] = [pack_planes(whole["pixels"], planes)]
    write_container(path, arrays, meta)
    return SliceCache.open(path)


def _arrays(slices: list[_Slice], cases: list[CachedCase], settings: CacheSettings) -> dict[str, list[AnyArray]]:
    ids = [name for case in cases for name in case.slice_ids]
    counts = [len(one.samples.points) for one in slices]
    arrays: dict[str, list[AnyArray]] = {
        "sizes": [np.array([one.label.shape for one in slices], dtype=np.int64)],
        "keys": [np.array([_number(name) for name in ids], dtype=np.uint64)],
        "mark_start": [np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)],
        "mark_points": [one.samples.points for one in slices],
        "mark_classes": [one.samples.classes for one in slices],
        "mark_strokes": [one.samples.strokes for one in slices],
        "pixels": [one.pixels.reshape(-1) for one in slices],
        "labels": [one.label.reshape(-1) for one in slices],
    }
    return arrays | ({"truth": [one.truth.reshape(-1) for one in slices]} if settings.truth else {})


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _record(case: Case, grid: Grid, side: str, start: int, stop: int) -> CachedCase:
    axis = grid.slice_axis if len(grid.shape) == 3 else None
    spacing = None if grid.spacing_mm is None else tuple(float(s) for s in grid.spacing_mm)
    return CachedCase(case.id, case.group, side, start, stop, grid.shape, spacing, axis)


def _slices(dataset: Dataset, case: Case, image: Image, settings: CacheSettings) -> Iterator[_Slice]:
    grid = image.grid
    label, strokes = _marks(dataset, case, image)
    truth = _truth(dataset, case, image) if settings.truth else label
    values = _planes(normalise(image, settings.normalisation), grid)
    for number, (plane, base, dense) in enumerate(zip(values, _planes(label, grid), _planes(truth, grid), strict=True)):
        resized = np.stack([resize(channel, settings.grid, settings.size) for channel in np.moveaxis(plane, -1, 0)])
        small = resize_labels(base, settings.grid, settings.size)
        native, size = (base.shape[0], base.shape[1]), (small.shape[0], small.shape[1])
        samples = slice_samples(strokes.get(number, []), native, size, settings.grid)
        yield _Slice(_stored(resized, settings), np.ascontiguousarray(small), samples, np.ascontiguousarray(dense))


def _stored(values: AnyArray, settings: CacheSettings) -> AnyArray:
    if settings.stored == "float16":
        return values.astype(np.float16)
    return np.round(values * 255).astype(np.uint8)


def _planes(array: AnyArray, grid: Grid) -> AnyArray:
    """``(slices, h, w, …)`` of a volume; a 2-D image is one slice."""
    return np.moveaxis(array, grid.slice_axis, 0) if len(grid.shape) == 3 else array[None]


def _marks(dataset: Dataset, case: Case, image: Image) -> tuple[LabelMap, Mapping[int, list[tuple[int, Stroke]]]]:
    """The raster under the strokes, ``(*s)``, and the strokes of every slice in drawing order.

    Where labelsTr was edited by another tool since the strokes were saved, it is the raster (as ``check`` says).
    """
    nothing = np.full(image.grid.shape, IGNORE, dtype=np.uint8)
    if case.sparse is None:
        return nothing, {}
    sparse = dataset.sparse_labels(case)
    same_grid(image, sparse)
    marks = dataset.read_marks(case)
    if marks is None:
        return sparse.array, {}
    axis = image.grid.slice_axis if len(image.grid.shape) == 3 else None
    if (marks.shape, marks.slice_axis) != (image.grid.shape, axis):
        raise GeometryError(
            "the marks were drawn on another grid than the image's",
            where=case.marks,
            expected=f"shape {image.grid.shape}, slice axis {axis}",
            received=f"shape {marks.shape}, slice axis {marks.slice_axis}",
            todo="check that the marks belong to this case",
        )
    strokes: dict[int, list[tuple[int, Stroke]]] = {}
    for place, stroke in enumerate(marks.strokes):
        number = 0 if axis is None else int(stroke.points[0, 2])
        strokes.setdefault(number, []).append((place, stroke))
    if raster_hash(sparse.array) != marks.raster_sha256:
        return sparse.array, strokes
    base = read_base(dataset, case, image)
    if base is not None:
        return base, strokes
    planes = _planes(sparse.array, image.grid)  # a slice whose strokes were all erased counts as unmarked
    return nothing, {number: drawn for number, drawn in strokes.items() if (planes[number] != IGNORE).any()}


def _truth(dataset: Dataset, case: Case, image: Image) -> LabelMap:
    if case.dense is None and case.sparse is None:
        return np.full(image.grid.shape, IGNORE, dtype=np.uint8)
    dense = dataset.dense_labels(case)
    same_grid(image, dense)
    labels: Any = dense.array
    return np.asarray(labels, dtype=np.uint8)
