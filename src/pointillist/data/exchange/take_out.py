"""Marks of a dataset as other programs' files."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ImageColor

from pointillist.data.case import Case
from pointillist.data.dataset import Dataset
from pointillist.data.exchange.erasing import without_erasers
from pointillist.data.exchange.label_images import to_values, values_of
from pointillist.data.exchange.matching import Format
from pointillist.data.exchange.placing import AxisOrder, to_native
from pointillist.data.formats.imagej import encode_imagej
from pointillist.data.formats.napari import encode_paths, encode_points
from pointillist.data.formats.nrrd import encode_nrrd
from pointillist.data.formats.qupath import encode_qupath
from pointillist.data.marked import Marked, read_marked
from pointillist.data.writers import atomic_write_bytes, write_label
from pointillist.errors import DatasetError, InputError, named
from pointillist.geometry.strokes import rasterise
from pointillist.types import Floats, LabelMap, Stroke

_FORBIDDEN = '/\\:*?"<>|'


@dataclass(frozen=True)
class TakenOut:
    """What was written.

    Attributes:
        out: the folder.
        files: how many files.
        cases: how many cases with marks.
        notes: what the format could not hold.
    """

    out: Path
    files: int
    cases: int
    notes: tuple[str, ...]


def take_out_marks(
    dataset: Dataset, out: Path, form: Format, *, cases: Sequence[str] = (), axes: AxisOrder = "ijk"
) -> TakenOut:
    """Write the marks of every marked case in a format of another program.

    Args:
        dataset: whose marks.
        out: a new folder; it appears complete or not at all.
        form: ``qupath`` and ``imagej`` (2-D images), ``napari``, ``labels`` (NIfTI for volumes, else TIFF), ``nrrd``
            (volumes).
        cases: ids; none: all.
        axes: order of a volume's coordinates in napari's files.

    Raises:
        InputError: if the format cannot hold these images, or there is nothing to write.
        DatasetError: if the folder is in the way.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(
            "the folder for the marks is in the way",
            where=out,
            expected="a new name, or an empty folder",
            received="a folder with files in it" if out.is_dir() else "a file",
            todo="choose another name, or remove it",
        )
    known = {case.id: case for case in dataset.training}
    wanted = [named(known, one, what="there is no such training case", where="--case") for one in cases]
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".partial"))
    try:
        lost: Counter[str] = Counter()
        marked = sum(_write(dataset, case, work, form, axes, lost) for case in wanted or dataset.training)
        if not marked:
            raise _nothing(dataset)
        if form == "labels" and any(work.glob("*.nii.gz")):
            atomic_write_bytes(work / "itksnap-labels.txt", _label_description(dataset))
        files = len(list(work.iterdir()))
        work.chmod(0o755)
        work.replace(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # already renamed away when all went well
    return TakenOut(out, files, marked, tuple(f"{what}: {count}" for what, count in lost.items()))


def _write(dataset: Dataset, case: Case, folder: Path, form: Format, axes: AxisOrder, lost: Counter[str]) -> bool:
    """Write one case; whether there was anything to write."""
    marked = read_marked(dataset, case)
    if marked.base is None and not marked.strokes:
        return False
    flat = len(marked.image.grid.shape) == 2
    if flat == (form == "nrrd") and form in ("qupath", "imagej", "nrrd"):
        raise InputError(
            f"{form} files hold marks on {'volumes' if form == 'nrrd' else '2-D images'} alone",
            where=f"{dataset.root}, case {case.id}",
            expected="2-D images" if not flat else "volumes",
            received="a 2-D image" if flat else "a volume",
            todo="use --format napari or --format labels",
        )
    if form not in ("labels", "nrrd"):
        marked, erased = without_erasers(marked)
        lost["strokes that an eraser touched and that are areas now"] += erased
    _count_lost(marked, form, lost)
    if form == "napari":
        _write_napari(dataset, case, marked, folder, axes)
    elif form in ("labels", "nrrd"):
        axis = -1 if marked.slice_axis is None else marked.slice_axis
        shape = marked.image.grid.shape
        _write_labels(
            dataset, case, marked, rasterise(marked.strokes, shape, slice_axis=axis, onto=marked.base), folder, form
        )
    elif form == "qupath":
        data = encode_qupath(marked.strokes, marked.base, dataset.spec)
        atomic_write_bytes(folder / f"{case.id}.geojson", data)
    else:
        data = encode_imagej(marked.strokes, marked.base, dataset.spec)
        atomic_write_bytes(folder / f"{case.id}.zip", data)
    return True


def _count_lost(marked: Marked, form: Format, lost: Counter[str]) -> None:
    """What a format cannot hold, said instead of hidden."""
    strokes = marked.strokes
    broad = [stroke for stroke in strokes if stroke.width_px != 1]
    if form in ("labels", "nrrd"):
        lost["strokes that are pixels now, without their coordinates"] += len(strokes)
    elif form == "napari":
        lost["lines that lost their width"] += sum(len(stroke.points) > 1 for stroke in broad)
    elif form == "imagej":
        lost["points that lost their width"] += sum(len(stroke.points) == 1 for stroke in broad)
    if form in ("napari", "imagej"):
        lost["strokes that lost their author and time"] += sum(bool(one.author or one.time) for one in strokes)
    if form == "napari":
        lost["strokes whose order among classes is lost: one layer a class"] += len(strokes) * _overlapping(marked)
    for what in [what for what, count in lost.items() if not count]:
        del lost[what]


def _overlapping(marked: Marked) -> bool:
    """Whether drawing the strokes class by class, points first, gives other labels."""
    axis = -1 if marked.slice_axis is None else marked.slice_axis
    shape = marked.image.grid.shape
    by_layer = [stroke for _, layer in _layers(marked.strokes) for stroke in layer]
    return bool(
        (rasterise(by_layer, shape, slice_axis=axis) != rasterise(marked.strokes, shape, slice_axis=axis)).any()
    )


def _layers(strokes: Sequence[Stroke]) -> Iterator[tuple[tuple[int, str], list[Stroke]]]:
    """Strokes of one class and kind, in the order in which files of these names are read."""
    for cls in sorted({stroke.cls for stroke in strokes}):
        for kind, several in (("points", False), ("shapes", True)):
            layer = [stroke for stroke in strokes if stroke.cls == cls and (len(stroke.points) > 1) == several]
            if layer:
                yield (cls, kind), layer


def _write_napari(dataset: Dataset, case: Case, marked: Marked, folder: Path, axes: AxisOrder) -> None:
    for (cls, kind), layer in _layers(marked.strokes):
        places = [_napari_places(stroke, marked, axes) for stroke in layer]
        widths = [stroke.width_px for stroke in layer]
        data = encode_points(np.concatenate(places), widths) if kind == "points" else encode_paths(places)
        atomic_write_bytes(folder / f"{case.id}-{_file_name(dataset.spec.classes[cls])}-{kind}.csv", data)
    if marked.base is not None:
        _write_labels(dataset, case, marked, marked.base, folder, "labels")


def _napari_places(stroke: Stroke, marked: Marked, axes: AxisOrder) -> Floats:
    if marked.slice_axis is None:
        return stroke.points
    native = to_native(stroke.points, marked.image.grid)
    return native if axes == "ijk" else native[:, ::-1]


def _write_labels(dataset: Dataset, case: Case, marked: Marked, labels: LabelMap, folder: Path, form: Format) -> None:
    values, grid, spec = to_values(labels, len(dataset.spec.classes)), marked.image.grid, dataset.spec
    if form == "nrrd":
        present = np.unique(values)
        names = {value: name for value, name in values_of(spec.classes).items() if value in present}
        atomic_write_bytes(folder / f"{case.id}.seg.nrrd", encode_nrrd(values, grid, names, spec))
    else:
        write_label(folder / f"{case.id}-labels{'.tif' if grid.affine is None else '.nii.gz'}", values, grid)


def _label_description(dataset: Dataset) -> bytes:
    """ITK-SNAP's list of labels: number, colour, opacity, whether shown, whether meshed, name."""
    rows = ['    0     0    0    0        0  0  0    "Clear Label"']
    for value, name in values_of(dataset.spec.classes).items():
        red, green, blue = ImageColor.getrgb(dataset.spec.colours[dataset.spec.classes.index(name)])[:3]
        rows.append(f'{value:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{name}"')
    return ("\n".join(rows) + "\n").encode()


def _file_name(name: str) -> str:
    if any(letter in _FORBIDDEN for letter in name):
        raise InputError(
            "a class cannot be part of a file name",
            where="names of the classes",
            expected=f"names without {' '.join(_FORBIDDEN)}",
            received=name,
            todo="use --format labels or --format qupath",
        )
    return name


def _nothing(dataset: Dataset) -> InputError:
    return InputError(
        "there are no marks to write",
        where=dataset.root,
        expected="one marked case or more",
        received="none",
        todo="mark images, or bring marks in with `pointillist marks import`",
    )
