"""Where to click next: places a model is unsure of, or on which two models differ, and the cases with most doubt.

At a pixel x of a slice, with u the predicted uncertainty (entropy over ln K, 0 … 1), d = 1 where another run predicts
another class, m the distance to the nearest mark, and e that to the nearest mark which the prediction contradicts:

    s(x) = max(u, exp(−e²/2ρ²)), or with another run max((u + d)/2, exp(−e²/2ρ²))
    S(x) = (1 − exp(−m²/2ρ²)) · (G_σ ∗ s)(x)

σ is 2 % of √(rows · columns), ρ = 2σ. Places are the maxima of S, at least 3σ apart and above 0.05, five a slice. A
slice's score is the mean of S over its pixels, and a case's that of its slices: maxima come close to 1 almost anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.image import same_grid
from pointillist.data.predicted import label_file, uncertainty_file
from pointillist.data.readers import read_image, read_label
from pointillist.errors import DatasetError
from pointillist.geometry.peaks import peaks
from pointillist.types import IGNORE, AnyArray, LabelMap, Mask

_SIGMA = 0.02  # of the side
_REACH, _APART = 2.0, 3.0  # in σ
_LEAST = 0.05
PLACES = 5
"""Places a slice, at most."""
_SIDE = 512  # larger images are looked at in blocks of pixels


@dataclass(frozen=True)
class Place:
    """Somewhere to click.

    Attributes:
        row: of the pixel.
        column: of the pixel.
        slice: of a volume; None in a 2-D image.
        score: S there.
        cls: the class that is predicted there.
    """

    row: int
    column: int
    slice: int | None
    score: float
    cls: int


@dataclass(frozen=True)
class Suggestion:
    """A case with its places.

    Attributes:
        case: its id.
        slices: the mean of S over each slice, of which a 2-D image has one; none where nothing was predicted.
        places: slice by slice, the slice with most to gain first, and best first in each.
    """

    case: str
    slices: tuple[float, ...]
    places: tuple[Place, ...]

    @property
    def score(self) -> float:
        """How much there is to gain: the mean of S over all pixels."""
        return sum(self.slices) / len(self.slices) if self.slices else 0.0


def suggestions(dataset: Dataset, predictions: Path, other: Path | None = None) -> Iterator[Suggestion]:
    """Places of every training case that was predicted.

    Args:
        dataset: its marks count; dense truth is not read.
        predictions: of a run, with ``uncertainty``.
        other: of another run.

    Raises:
        DatasetError: if the folder holds no uncertainty of any training case.
        DamagedFileError, GeometryError: what is wrong with a file.
    """
    found = 0
    for case in dataset.training:
        if _files(predictions, case.id, dataset.ending) is not None:
            found += 1
            yield suggestion(dataset, case, predictions, other)
    if not found:
        raise DatasetError(
            "no training case was predicted with its uncertainty",
            where=predictions,
            expected="label files, and uncertainty/CASE beside them",
            received="none",
            todo="predict imagesTr with `pointillist predict --uncertainty`",
        )


def suggestion(dataset: Dataset, case: Case, predictions: Path, other: Path | None = None) -> Suggestion:
    """Places of one case; see ``suggestions``."""
    files = _files(predictions, case.id, dataset.ending)
    if files is None:
        return Suggestion(case.id, (), ())
    marks, predicted = dataset.sparse_labels(case), read_label(files[0])
    uncertainty = read_image(files[1])
    for one in (predicted, uncertainty):
        same_grid(marks, one)
    theirs = None if other is None else _files(other, case.id, dataset.ending)
    differs = None if theirs is None else predicted.array != read_label(theirs[0]).array
    axis = marks.grid.slice_axis if len(marks.grid.shape) == 3 else None
    arrays = [marks.array, predicted.array, uncertainty.array, *([] if differs is None else [differs])]
    stacks = [array[None] if axis is None else np.moveaxis(array, axis, 0) for array in arrays]
    slices = [
        slice_suggestion(*planes, slice_number=None if axis is None else number)
        for number, planes in enumerate(zip(*stacks, strict=True))
    ]
    places = [place for _, found in sorted(slices, key=lambda one: -one[0]) for place in found]
    return Suggestion(case.id, tuple(score for score, _ in slices), tuple(places))


def slice_suggestion(
    marks: LabelMap, predicted: LabelMap, uncertainty: AnyArray, differs: Mask | None = None,
    *, slice_number: int | None = None,
) -> tuple[float, list[Place]]:  # fmt: skip
    """The mean of S over one slice, and its places, best first.

    Args:
        marks: ``(h, w)``, IGNORE where nobody marked.
        predicted: ``(h, w)`` classes.
        uncertainty: ``(h, w)``, 0 … 1.
        differs: ``(h, w)`` where another run says otherwise.
        slice_number: noted in the places.
    """
    block = math.ceil(max(marks.shape) / _SIDE)
    wrong = (marks != IGNORE) & (marks != predicted)
    doubt = _blocks(uncertainty, block, np.mean)
    if differs is not None:
        doubt = (doubt + _blocks(differs, block, np.mean)) / 2
    sigma = max(1.0, _SIGMA * math.sqrt(doubt.shape[0] * doubt.shape[1]))
    near_wrong = _nearness(_blocks(wrong, block, np.max), _REACH * sigma)
    near_mark = _nearness(_blocks(marks != IGNORE, block, np.max), _REACH * sigma)
    score = (1 - near_mark) * ndimage.gaussian_filter(np.maximum(doubt, near_wrong), sigma, mode="nearest")
    found = []
    for row, column, height in peaks(score, apart=_APART * sigma, count=PLACES, least=_LEAST):
        row, column = (
            min(n * block + block // 2, size - 1) for n, size in zip((row, column), marks.shape, strict=True)
        )
        found.append(Place(row, column, slice_number, height, int(predicted[row, column])))
    return float(score.mean()), found


def _nearness(where: Mask, reach: float) -> AnyArray:
    """exp(−distance²/2 reach²) to the nearest true pixel."""
    if not where.any():
        return np.zeros(where.shape)
    distance = ndimage.distance_transform_edt(~where)
    return np.asarray(np.exp(-(distance**2) / (2 * reach**2)))


def _blocks(plane: AnyArray, block: int, reduce: Callable[..., Any]) -> AnyArray:
    """One value for each block of pixels."""
    if block == 1:
        return plane if plane.dtype == bool else plane.astype(np.float64)
    pad = [(0, -size % block) for size in plane.shape]
    whole = np.pad(plane, pad, mode="edge")
    rows, columns = (size // block for size in whole.shape)
    return np.asarray(reduce(whole.reshape(rows, block, columns, block), axis=(1, 3)))


def _files(predictions: Path, case: str, ending: str) -> tuple[Path, Path] | None:
    """Label file and map of uncertainty of a case; None where one lacks."""
    files = label_file(predictions, case, ending), uncertainty_file(predictions, case, ending)
    return files if all(path.is_file() for path in files) else None
