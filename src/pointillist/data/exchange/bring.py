"""Marks from other programs' files into a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from pointillist.data.case import Case
from pointillist.data.compressed import read_bytes
from pointillist.data.dataset import Dataset
from pointillist.data.exchange.class_map import ClassMap
from pointillist.data.exchange.label_images import read_labels
from pointillist.data.exchange.matching import Format, MarksFile, find_files
from pointillist.data.exchange.placing import AxisOrder, as_stroke, on_plane, paint
from pointillist.data.formats.drawn import Drawn
from pointillist.data.formats.imagej import read_imagej
from pointillist.data.formats.napari import decode_napari
from pointillist.data.formats.qupath import decode_qupath
from pointillist.data.image import HeaderRule
from pointillist.data.marked import Marked, add_strokes, read_marked, write_marked
from pointillist.types import IGNORE, Floats, Stroke

_PROGRAMS: dict[Format, str] = {"qupath": "QuPath", "imagej": "ImageJ", "napari": "napari"}


@dataclass(frozen=True)
class BringOptions:
    """How files are understood.

    Attributes:
        format: None takes each file for what its ending says.
        case: id of the case that all files belong to.
        class_map: ``theirs=ours`` pairs.
        default_class: of shapes without a class.
        width_px: of points and lines whose file states none.
        unlabelled: value of what nobody marked in label images; None: 0.
        axes: order of a volume's coordinates in napari's files.
        header_rule: which side of a contradictory NIfTI header to believe.
        author: noted in strokes; None: the program.
        replace: whether the marks that the cases have give way.
    """

    format: Format | None = None
    case: str | None = None
    class_map: Sequence[str] = ()
    default_class: str | None = None
    width_px: float = 1.0
    unlabelled: int | None = None
    axes: AxisOrder = "ijk"
    header_rule: HeaderRule = "auto"
    author: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class Brought:
    """What came into the dataset.

    Attributes:
        dataset: its folder.
        files: how many were read.
        cases: ids of the cases they belong to.
        points: number of points.
        lines: number of lines.
        areas: number of outlines.
        label_images: number of label images.
        classes: shapes and label images of each class.
        notes: what was left out, and was there already.
    """

    dataset: Path
    files: int
    cases: tuple[str, ...]
    points: int
    lines: int
    areas: int
    label_images: int
    classes: dict[str, int]
    notes: tuple[str, ...]


@dataclass
class _Tally:
    kinds: Counter[str] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def bring_marks(
    dataset: Dataset,
    paths: Sequence[Path],
    options: BringOptions | None = None,
    *,
    dry_run: bool = False,
    on_case: Callable[[Case, Marked], None] = lambda *_: None,
) -> Brought:
    """Read marks from files and add them to the cases that their names say.

    Points and lines become strokes. Outlines and label images are areas: their pixels become part of the base raster,
    under the strokes, the later file over the earlier. A stroke that is there already is not added again. Everything is
    read and checked before the first file of the dataset is changed.

    Args:
        dataset: where they go.
        paths: files, and folders of files.
        options: how to understand them; None takes the defaults.
        dry_run: read and check everything, and change nothing.
        on_case: called with every case and all marks that it then has, for example to draw its picture.

    Raises:
        PointillistError: the first thing that is wrong; nothing is changed then.
    """
    options = options or BringOptions()
    classes = ClassMap.of(dataset.spec.classes, options.class_map, options.default_class)
    files, notes = find_files(dataset, paths, form=options.format, case=options.case)
    tally = _Tally(notes=list(notes))
    by_case = [list(group) for _, group in groupby(files, key=lambda one: one.case.id)]
    for group in by_case:
        marked = _marked(dataset, group, classes, options, tally)  # a mistake anywhere leaves everything as it was
        on_case(group[0].case, marked)
    for group in () if dry_run else by_case:  # read again, so that one case at a time is in memory
        write_marked(dataset, group[0].case, _marked(dataset, group, classes, options, _Tally()))
    return Brought(
        dataset.root,
        len(files),
        tuple(group[0].case.id for group in by_case),
        tally.kinds["point"],
        tally.kinds["line"],
        tally.kinds["area"],
        tally.kinds["labels"],
        dict(tally.classes),
        tuple(dict.fromkeys(tally.notes)),
    )


def _marked(
    dataset: Dataset, files: Sequence[MarksFile], classes: ClassMap, options: BringOptions, tally: _Tally
) -> Marked:
    """What is marked on a case with what its files add."""
    before = read_marked(dataset, files[0].case)
    if options.replace:
        before = replace(before, base=None, strokes=())
    base = np.full(before.image.grid.shape, IGNORE, np.uint8) if before.base is None else before.base
    strokes: list[Stroke] = []
    for file in files:
        if file.format in ("labels", "nrrd"):
            labels = read_labels(file.path, before.image, classes, options.unlabelled, options.header_rule)
            base = np.where(labels == IGNORE, base, labels)
            tally.kinds["labels"] += 1
            tally.classes.update(classes.classes[cls] for cls in np.unique(labels[labels != IGNORE]))
            continue
        new, areas = _shapes(file, before, classes, options, tally)
        base, empty = paint(base, areas, before.slice_axis)
        strokes += new
        if empty:
            tally.notes.append(f"{file.path.name}: {empty} outlines hold no pixel's centre and mark nothing")
    kept, known = add_strokes(before.strokes, strokes)
    if known:
        tally.notes.append(f"{files[0].case.id}: {known} strokes were there already")
    return Marked(before.image, base if (base != IGNORE).any() else None, kept)


def _shapes(
    file: MarksFile, marked: Marked, classes: ClassMap, options: BringOptions, tally: _Tally
) -> tuple[list[Stroke], list[tuple[int, tuple[Floats, ...], int | None]]]:
    drawn, notes = _decoded(file)
    tally.notes += [f"{file.path.name}: {note}" for note in notes]
    strokes: list[Stroke] = []
    areas: list[tuple[int, tuple[Floats, ...], int | None]] = []
    author = options.author or _PROGRAMS[file.format]
    for one in drawn:
        where = f"{file.path}, {one.what}"
        cls = classes.index(one.name or file.layer or None, where)
        if cls == IGNORE:
            tally.notes.append(f"shapes of class {one.name or file.layer!r} were left out, as --class-map says")
            continue
        plane, number = on_plane(one, marked.image.grid, options.axes, where)
        if one.kind == "area":
            areas.append((cls, plane, number))
        else:
            strokes.append(as_stroke(one, cls, plane, number, options.width_px, author))
        tally.kinds[one.kind] += 1
        tally.classes[classes.classes[cls]] += 1
    return strokes, areas


def _decoded(file: MarksFile) -> tuple[list[Drawn], tuple[str, ...]]:
    if file.format == "imagej":
        return read_imagej(file.path)
    data = read_bytes(file.path)
    return decode_qupath(data, file.path) if file.format == "qupath" else (decode_napari(data, file.path), ())
