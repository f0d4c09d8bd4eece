"""What kind of dataset it is: points or scribbles, on organs, nuclei or tissue."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import find_objects
from skimage.measure import label

from pointillist.data.dataset import Dataset
from pointillist.errors import InputError
from pointillist.types import IGNORE, LabelMap

MarksKind = Literal["points", "scribbles"]
ImagesKind = Literal["organs", "nuclei", "tissue"]

LOOKED_AT = 24
"""Cases, evenly spread; reading all of a large dataset takes minutes."""
MANY = 12
"""Marks of a class in an image from which its objects count as many: nuclei."""
_POINT_PX = 3
_POINT_SHARE = 0.02  # of the longer side of an image


@dataclass(frozen=True)
class DatasetKind:
    """What a dataset looks like.

    Attributes:
        marks: ``points`` where most marked slices hold nothing longer than a point (3 pixels, or 2 % of the image's
            longer side), else ``scribbles``.
        images: ``organs`` are volumes, and grey images with few objects; ``nuclei`` images with ``MANY`` marks of a
            class or more; ``tissue`` colour images with fewer.
        slices: of the training cases, estimated from those looked at; a 2-D image is one.
        looked_at: cases.
    """

    marks: MarksKind
    images: ImagesKind
    slices: int
    looked_at: int


def kind_of(dataset: Dataset, cases: Collection[str] | None = None) -> DatasetKind:
    """Look at the marks of some training cases, and at no truth.

    Args:
        dataset: with marks.
        cases: ids of the training cases that may be looked at; None for all.

    Raises:
        InputError: if nothing is marked on those looked at.
        PointillistError: if a label file cannot be read.
    """
    there = [case for case in dataset.training if cases is None or case.id in cases]
    chosen = there[:: max(1, -(-len(there) // LOOKED_AT))]
    slices, marked, volumes = 0, [], 0
    for case in chosen:
        labels = dataset.sparse_labels(case)
        flat = labels.array.ndim == 2
        planes = labels.array[None] if flat else np.moveaxis(labels.array, labels.grid.slice_axis, 0)
        slices, volumes = slices + len(planes), volumes + (not flat)
        marked += list(_marks_of(planes))
    if not marked:
        raise InputError(
            "nothing is marked on the cases that were looked at",
            where=dataset.root,
            expected=f"points or scribbles on some of {len(chosen)} training cases",
            received="none",
            todo="name a method, or draw marks first",
        )
    scribbled = sum(one.longest > max(_POINT_PX, _POINT_SHARE * one.side) for one in marked)
    many = median(one.most for one in marked) >= MANY
    images: ImagesKind = "nuclei" if many else "tissue" if len(dataset.spec.channels) == 3 else "organs"
    return DatasetKind(
        marks="scribbles" if 2 * scribbled > len(marked) else "points",
        images="organs" if 2 * volumes > len(chosen) else images,
        slices=round(slices * len(there) / len(chosen)),
        looked_at=len(chosen),
    )


class _SliceMarks(NamedTuple):
    """Marks of one slice: pixels of the longest, how many the foreground class with most has, the image's side."""

    longest: int
    most: int
    side: int


def _marks_of(planes: LabelMap) -> Iterator[_SliceMarks]:
    """Of every slice that is marked; a mark is an 8-connected part of one class."""
    for plane in planes:
        parts = label(plane, connectivity=2, background=IGNORE)  # type: ignore[no-untyped-call]
        boxes = find_objects(parts)
        if boxes:
            longest = max(side.stop - side.start for box in boxes for side in box)
            classes = [plane[box][parts[box] == number].flat[0] for number, box in enumerate(boxes, start=1)]
            most = max(np.bincount([cls for cls in classes if cls > 0], minlength=2))
            yield _SliceMarks(longest, int(most), max(plane.shape))
