"""Predictions as files on the grid of their image.

``OUT/CASE.nii.gz|.png|.tif`` holds class indices. Beside them, on wish: ``OUT/probabilities/CASE.npz`` with the array
``probabilities`` ``(k, *s)`` in float16, ``*s`` in the axis order of the label file, and the array ``classes``; and
``OUT/uncertainty/CASE.nii.gz|.tif`` in float32, 0 certain … 1 undecided. Folders of their own keep ``evaluate`` from
taking them for predictions. ``OUT/instances/CASE.png|.tif`` holds object numbers, and ``OUT/CASE.geojson`` the same
objects as polygons, in the place of class indices.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from pointillist.data.formats.geojson import encode_geojson
from pointillist.data.image import Grid
from pointillist.data.writers import atomic_write_bytes, write_image, write_label
from pointillist.errors import InputError
from pointillist.geometry.objects import DEFAULT_RULES, ObjectRules, objects_of
from pointillist.predict.found import Prediction
from pointillist.spec import TaskSpec
from pointillist.types import AnyArray

Kind = Literal["nifti", "png", "tiff", "geojson"]
_ENDINGS: dict[Kind, str] = {"nifti": ".nii.gz", "png": ".png", "tiff": ".tif", "geojson": ".geojson"}


@dataclass(frozen=True)
class Form:
    """How a prediction is written.

    Attributes:
        ending: of the file of labels or polygons.
        instances: whether object numbers are written too.
        rules: what counts as an object.
    """

    ending: str
    instances: bool = False
    rules: ObjectRules = DEFAULT_RULES


def ending_for(grid: Grid, kind: Kind | None, where: str, *, instances: bool = False) -> str:
    """The ending of a label file: NIfTI for volumes and PNG for 2-D images unless a kind is given.

    Raises:
        InputError: if the kind cannot hold such an image, or objects are wanted of a volume.
    """
    volume = grid.affine is not None
    chosen: Kind = kind or ("nifti" if volume else "png")
    if volume != (chosen == "nifti"):
        raise InputError(
            "a prediction cannot be written as this kind of file",
            where=where,
            expected="nifti, which holds a volume's spacing"
            if volume
            else "png, tiff or geojson: a 2-D image has no spacing",
            received=f"--as {chosen}",
            todo="leave --as out: volumes become NIfTI, 2-D images PNG",
        )
    if volume and instances:
        raise InputError(
            "objects are told apart in 2-D images alone",
            where=where,
            expected="a 2-D image",
            received="a volume, and --instances",
            todo="leave --instances out for volumes",
        )
    return _ENDINGS[chosen]


def write_prediction(
    out: Path, case: str, prediction: Prediction, grid: Grid, classes: tuple[str, ...], form: Form
) -> list[Path]:
    """Write a prediction, each file atomically, the labels last: where they are, all is.

    Args:
        out: the folder.
        case: name of the files, without ending.
        prediction: what was found.
        grid: of the image.
        classes: names by index.
        form: how it is written; the ending is from ``ending_for``.

    Returns:
        The files written.
    """
    written = []
    if prediction.probabilities is not None:
        path = out / "probabilities" / f"{case}.npz"
        buffer = io.BytesIO()
        native = np.stack([_in_file_order(one, grid) for one in prediction.probabilities])
        np.savez_compressed(buffer, probabilities=native, classes=np.array(classes))
        atomic_write_bytes(path, buffer.getvalue())
        written.append(path)
    if prediction.uncertainty is not None:
        path = out / "uncertainty" / f"{case}{'.nii.gz' if grid.affine is not None else '.tif'}"
        write_image(path, prediction.uncertainty, grid)
        written.append(path)
    if form.instances:
        path = out / "instances" / f"{case}{'.tif' if form.ending == '.tif' else '.png'}"
        write_label(path, objects_of(prediction.labels, form.rules)[0], grid)
        written.append(path)
    path = out / f"{case}{form.ending}"
    if form.ending == ".geojson":
        numbers, of_class = objects_of(prediction.labels, form.rules)
        atomic_write_bytes(path, encode_geojson(numbers, of_class, TaskSpec(classes, ("image",))))
    else:
        write_label(path, prediction.labels, grid)
    return [*written, path]


def _in_file_order(array: AnyArray, grid: Grid) -> AnyArray:
    """A volume in the axis order that its own file has; a 2-D image as it is."""
    if grid.orientation is None:
        return array
    canonical = np.array([[0, 1], [1, 1], [2, 1]])
    undo = nib.orientations.ornt_transform(canonical, grid.orientation)
    native: AnyArray = nib.orientations.apply_orientation(array, undo)
    return native
