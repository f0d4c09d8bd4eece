"""A cache that is open for reading: slices, sparse labels and mark samples of every case, mapped from one file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointillist.data.cache.container import open_container
from pointillist.data.cache.grids import resize_labels
from pointillist.data.cache.packing import unpack_bytes, unpack_planes
from pointillist.data.cache.settings import FORMAT, CacheSettings
from pointillist.errors import DamagedFileError, InputError
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE, AnyArray, LabelMap


@dataclass(frozen=True)
class CachedCase:
    """One case of a cache.

    Attributes:
        id: the case's id.
        group: patient or slide.
        side: ``Tr`` for a training case, ``Ts`` for one that is held out from every fold (no marks).
        start: its first slice.
        stop: one past its last slice.
        shape: native spatial shape, in memory (canonical) order.
        spacing_mm: distance between pixel centres along each axis, or None where it is not known.
        slice_axis: the axis that slices count along; None for a 2-D image.
    """

    id: str
    group: str
    side: str
    start: int
    stop: int
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None
    slice_axis: int | None

    @property
    def native(self) -> tuple[int, int]:
        """Rows and columns of a slice in the dataset."""
        rows, columns = (n for axis, n in enumerate(self.shape) if axis != self.slice_axis)
        return rows, columns

    @property
    def slice_ids(self) -> tuple[str, ...]:
        """``case/slice`` for every slice of a volume; the case's id for a 2-D image."""
        if self.slice_axis is None:
            return (self.id,)
        return tuple(f"{self.id}/{k}" for k in range(self.stop - self.start))


@dataclass(frozen=True, eq=False)
class SliceCache:
    """All slices of a dataset.

    Attributes:
        path: the file.
        key: what it was made from (``pointillist.data.cache.settings.cache_key``).
        dataset: the dataset's name.
        spec: classes and channels.
        settings: how slices were prepared.
        mean: per channel, taken off after values are brought to [0, 1].
        std: per channel, divided by after that.
        cases: in order of their slices.
        sizes: ``(n, 2)`` int64 rows and columns of every cached slice.
        keys: ``(n,)`` uint64, a number for each slice that depends on its id alone; randomness is drawn from it.
        pixels: ``(sum of c·h·w,)`` uint8 (of 255) or float16, slice after slice, channel after channel.
        labels: ``(sum of h·w,)`` uint8, what was imported as a raster, IGNORE where unknown.
        mark_start: ``(n + 1,)`` int64, where the mark samples of each slice begin.
        mark_points: ``(p, 2)`` float32 row, column in cached pixels.
        mark_classes: ``(p,)`` uint8.
        mark_strokes: ``(p,)`` int32 drawing order; later strokes win.
        truth: ``(sum of native h·w,)`` uint8 dense truth at native size, or None, as it is by default.
    """

    path: Path
    key: str
    dataset: str
    spec: TaskSpec
    settings: CacheSettings
    mean: tuple[float, ...]
    std: tuple[float, ...]
    cases: tuple[CachedCase, ...]
    sizes: NDArray[np.int64]
    keys: NDArray[np.uint64]
    pixels: AnyArray
    labels: LabelMap
    mark_start: NDArray[np.int64]
    mark_points: NDArray[np.float32]
    mark_classes: NDArray[np.uint8]
    mark_strokes: NDArray[np.int32]
    truth: LabelMap | None

    @classmethod
    def open(cls, path: Path) -> SliceCache:
        """Open a cache, packed or not; every byte is checked first.

        A plain cache is mapped from its file, a packed one is unpacked into memory.

        Raises:
            DamagedFileError: if the file is missing, of another kind or version, cut off or changed.
        """
        content = open_container(path)
        meta, arrays = content.meta, content.arrays
        if meta.get("kind") != "slices" or meta["version"] != FORMAT:
            raise DamagedFileError(
                "this file is not a cache that this version reads",
                where=path,
                expected=f"slices of version {FORMAT}",
                received=f"{meta.get('kind')} of version {meta.get('version')}",
                todo="remove it and make it anew with `pointillist cache`",
            )
        if meta["packed"]:
            arrays = _unpacked(arrays, meta, path)
        return cls(
            path=path,
            key=meta["key"],
            dataset=meta["dataset"],
            spec=TaskSpec(tuple(meta["classes"]), tuple(meta["channels"])),
            settings=CacheSettings(**meta["settings"]),
            mean=tuple(meta["mean"]),
            std=tuple(meta["std"]),
            cases=tuple(_case(record) for record in meta["cases"]),
            **{name: arrays[name] for name in ("sizes", "keys", "pixels", "labels")},
            **{name: arrays[name] for name in ("mark_start", "mark_points", "mark_classes", "mark_strokes")},
            truth=arrays.get("truth"),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels, labels and marks take on a device."""
        return sum(array.nbytes for array in (self.pixels, self.labels, self.mark_points, self.mark_classes)) + (
            self.mark_strokes.nbytes
        )

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The id of every slice."""
        return tuple(name for case in self.cases for name in case.slice_ids)

    @cached_property
    def natives(self) -> NDArray[np.int64]:
        """``(n, 2)`` rows and columns of every slice in the dataset."""
        repeats = [case.stop - case.start for case in self.cases]
        return np.repeat(np.array([case.native for case in self.cases], dtype=np.int64), repeats, axis=0)

    @cached_property
    def plane_start(self) -> NDArray[np.int64]:
        """``(n + 1,)`` where the labels of each slice begin; its pixels begin at the same place times channels."""
        return np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])

    def case(self, case_id: str) -> CachedCase:
        """The case with this id.

        Raises:
            InputError: if there is none.
        """
        for case in self.cases:
            if case.id == case_id:
                return case
        raise InputError(
            "the cache has no such case",
            where=self.path,
            expected=f"one of its {len(self.cases)} cases",
            received=case_id,
            todo="make the cache anew with `pointillist cache` if the case was added later",
        )

    def subset(self, case_ids: Iterable[str]) -> NDArray[np.int64]:
        """The slices of these cases, in their order.

        Raises:
            InputError: if one is not in the cache.
        """
        ranges = [np.arange(case.start, case.stop) for case in map(self.case, case_ids)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ranges])

    def image(self, number: int) -> AnyArray:
        """One slice as stored, ``(c, h, w)``."""
        begin, end = self.plane_start[number : number + 2] * len(self.spec.channels)
        return self.pixels[begin:end].reshape(-1, *self.sizes[number])

    def label(self, number: int) -> LabelMap:
        """The imported raster of one slice, ``(h, w)``, IGNORE where unknown; marks are not drawn on it."""
        begin, end = self.plane_start[number : number + 2]
        return self.labels[begin:end].reshape(self.sizes[number])

    def marked(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of these slices that hold a mark, as a raster or as a stroke."""
        strokes = self.mark_start[numbers + 1] > self.mark_start[numbers]
        rasters = [bool((self.label(int(number)) != IGNORE).any()) for number in numbers]
        marked: NDArray[np.int64] = numbers[strokes | np.array(rasters, dtype=bool)]
        return marked

    def native_truth(self, number: int) -> LabelMap:
        """Dense truth of one slice at native size, ``(h, w)``.

        Raises:
            InputError: if the cache was made without it.
        """
        if self.truth is None:
            raise InputError(
                "the cache holds no dense truth",
                where=self.path,
                expected="a cache with dense truth",
                received="marks alone",
                todo="make one with `pointillist cache --with-truth`, for the full bound or for evaluation alone",
            )
        end = int(self.natives[: number + 1].prod(axis=1).sum())
        return self.truth[end - int(self.natives[number].prod()) : end].reshape(self.natives[number])

    def resized_truth(self) -> LabelMap:
        """Dense truth of all slices on the cached grid, laid out as ``labels``, for the ``full`` bound.

        Raises:
            InputError: if the cache was made without it.
        """
        parts = [
            resize_labels(self.native_truth(number), self.settings.grid, self.settings.size).reshape(-1)
            for number in range(len(self))
        ]
        return np.concatenate(parts)


def _case(record: dict[str, Any]) -> CachedCase:
    spacing = record["spacing_mm"]
    fields = {"shape": tuple(record["shape"]), "spacing_mm": None if spacing is None else tuple(spacing)}
    return CachedCase(**record | fields)


def _unpacked(arrays: dict[str, AnyArray], meta: dict[str, Any], path: Path) -> dict[str, AnyArray]:
    plain = {
        name: unpack_bytes(arrays[name], kind, tuple(shape), path) for name, (kind, shape) in meta["contents"].items()
    }
    planes = np.repeat(plain["sizes"], len(meta["channels"]), axis=0)
    return plain | {"pixels": unpack_planes(arrays["pixels"], planes, path)}
