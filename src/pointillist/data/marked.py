"""The marks of one case as a whole: the base raster, the strokes over it, and the three files that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset, labels_from_disk, labels_to_disk
from pointillist.data.image import Grid, Image, same_grid
from pointillist.data.marks import Marks, raster_hash, write_marks
from pointillist.data.readers import read_label
from pointillist.data.writers import write_label
from pointillist.errors import DatasetError, GeometryError, LabelError
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE, LabelMap, Stroke

_OFF_THE_GRID = 0.3183  # halves, quarters and other coordinates that people have lie far from a border of two cells


@dataclass(frozen=True, eq=False)
class Marked:
    """What is marked on a case.

    Attributes:
        image: the labels' grid, and what they are.
        base: ``(*s)`` the raster under the strokes; None if there is none.
        strokes: in drawing order.
    """

    image: Image
    base: LabelMap | None
    strokes: tuple[Stroke, ...]

    @property
    def slice_axis(self) -> int | None:
        """The axis that counts slices; None for a 2-D image."""
        return _slice_axis(self.image.grid)


def read_base(dataset: Dataset, case: Case, like: Image) -> LabelMap | None:
    """The raster under the strokes, on the grid of ``like``; None where a case has none."""
    if not case.base.exists():
        return None
    base = read_label(case.base)
    same_grid(like, base)
    return labels_from_disk(base.array, dataset.spec, sparse=True, where=case.base)


def read_marked(dataset: Dataset, case: Case) -> Marked:
    """Read what is marked. A labelsTr without saved marks is a base raster.

    Raises:
        DatasetError: if the dataset's labels are dense truth, not marks.
        LabelError: if labelsTr was edited by another tool since the marks were saved.
        GeometryError: if the marks were drawn on another grid.
    """
    if not dataset.sparse:
        raise DatasetError(
            "the labels of this dataset are dense truth, not marks",
            where=dataset.root / "dataset.json",
            expected='a label "ignore" for what nobody marked',
            received="none",
            todo="make a dataset for marks with `pointillist import folder`",
        )
    labels = dataset.sparse_labels(case)
    same_grid(dataset.image(case), labels)
    marks = dataset.read_marks(case)
    if marks is None:
        return Marked(labels, labels.array if (labels.array != IGNORE).any() else None, ())
    grid = labels.grid
    if (marks.shape, marks.slice_axis) != (grid.shape, _slice_axis(grid)):
        raise GeometryError(
            "the marks were drawn on another grid than the image's",
            where=case.marks,
            expected=f"shape {grid.shape}, slice axis {_slice_axis(grid)}",
            received=f"shape {marks.shape}, slice axis {marks.slice_axis}",
            todo="check that the marks belong to this case",
        )
    if raster_hash(labels.array) != marks.raster_sha256:
        raise LabelError(
            "labelsTr was edited by another tool since the marks were saved",
            where=case.sparse,
            expected="the base raster with the strokes drawn over it",
            received="something else",
            todo=f"run `pointillist check {dataset.root} --mend` first: it makes the edited labels the base",
        )
    return Marked(labels, read_base(dataset, case, labels), marks.strokes)


def labels_of(marked: Marked) -> LabelMap:
    """``(*s)`` the labels that training sees: the strokes over the base."""
    axis = -1 if marked.slice_axis is None else marked.slice_axis
    return rasterise(marked.strokes, marked.image.grid.shape, slice_axis=axis, onto=marked.base)


def write_marked(dataset: Dataset, case: Case, marked: Marked) -> LabelMap:
    """Save base, strokes and the labels that they make; each file appears whole or not at all.

    The strokes go first. Should the program end between the files, the hash that they state is not that of labelsTr,
    which ``check`` says and ``--mend`` mends; no stroke is lost, and the same call completes the rest.

    Returns:
        ``(*s)`` the labels that training sees.

    Raises:
        DatasetError: if the case is held out: such cases have no marks.
    """
    if case.sparse is None:
        raise DatasetError(
            "a held-out case has no marks",
            where=f"{dataset.root}, case {case.id}",
            expected="a case of imagesTr",
            received="a case of imagesTs",
            todo="mark training cases",
        )
    grid, axis, labels = marked.image.grid, marked.slice_axis, labels_of(marked)
    write_marks(case.marks, case.id, Marks(marked.strokes, grid.shape, axis, raster_hash(labels)))
    if marked.base is not None:
        write_label(case.base, labels_to_disk(marked.base, dataset.spec), grid)
    else:
        case.base.unlink(missing_ok=True)
    write_label(case.sparse, labels_to_disk(labels, dataset.spec), grid)
    return labels


def add_strokes(old: Sequence[Stroke], new: Sequence[Stroke]) -> tuple[tuple[Stroke, ...], int]:
    """Strokes and, after them, new ones that are not among them yet.

    Returns:
        All strokes, and how many new ones were there already: the same class, width, and vertices to a hundredth of a
        pixel, since files round coordinates. What is twice among the new ones stays: later marks lie over earlier ones.
    """
    seen = {_key(stroke) for stroke in old}
    added = [stroke for stroke in new if _key(stroke) not in seen]
    return (*old, *added), len(new) - len(added)


def _key(stroke: Stroke) -> tuple[int, float, bytes]:
    cells = np.floor(stroke.points * 100 + _OFF_THE_GRID).astype(np.int64)
    return stroke.cls, stroke.width_px, cells.tobytes()


def _slice_axis(grid: Grid) -> int | None:
    return grid.slice_axis if len(grid.shape) == 3 else None
