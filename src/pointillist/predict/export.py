"""Predictions as files on the grid of their image.

``OUT/CASE.nii.gz|.png|.tif`` holds class indices. Beside them, on wish: ``OUT/probabilities/CASE.npz`` with the array
``probabilities`` ``(k, *s)`` in float16, ``*s`` in the axis order of the label file, and the array ``classes``; and
``OUT/uncertainty/CASE.nii.gz|.tif`` in float32, 0 certain … 1 undecided. Folders of their own keep ``evaluate`` from
taking them for predictions.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from pointillist.data.image import Grid
from pointillist.data.writers import atomic_write_bytes, write_image, write_label
from pointillist.errors import InputError
from pointillist.predict.found import Prediction
from pointillist.types import AnyArray

Kind = Literal["nifti", "png", "tiff"]
_ENDINGS: dict[Kind, str] = {"nifti": ".nii.gz", "png": ".png", "tiff": ".tif"}


def ending_for(grid: Grid, kind: Kind | None, where: str) -> str:
    """The ending of a label file: NIfTI for volumes and PNG for 2-D images unless a kind is given.

    Raises:
        InputError: if the kind cannot hold such an image.
    """
    volume = grid.affine is not None
    chosen: Kind = kind or ("nifti" if volume else "png")
    if volume != (chosen == "nifti"):
        raise InputError(
            "a prediction cannot be written as this kind of file",
            where=where,
            expected="nifti, which holds a volume's spacing" if volume else "png or tiff: a 2-D image has no spacing",
            received=f"--as {chosen}",
            todo="leave --as out: volumes become NIfTI, 2-D images PNG",
        )
    return _ENDINGS[chosen]


def write_prediction(
    out: Path, case: str, prediction: Prediction, grid: Grid, classes: tuple[str, ...], ending: str
) -> list[Path]:
    """Write a prediction, each file atomically, the labels last: where they are, all is.

    Args:
        out: the folder.
        case: name of the files, without ending.
        prediction: what was found.
        grid: of the image.
        classes: names by index.
        ending: from ``ending_for``.

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
    path = out / f"{case}{ending}"
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
