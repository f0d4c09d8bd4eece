"""Probability maps against references: how often each score occurs inside a class, and outside of it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pointillist.data.compressed import MAX_DECODED_BYTES, read_bytes
from pointillist.data.image import Image
from pointillist.errors import DamagedFileError, GeometryError
from pointillist.evaluate.classes import Classes
from pointillist.types import AnyArray, Floats, Mask

FOLDER = "probabilities"
"""Where ``pointillist predict --probabilities`` writes ``CASE.npz``, below the folder of predictions."""

_ONE = 0x3C00  # bits of 1.0 in half precision: from 0 to 1 they count upwards with the value


class ScoreCounts(NamedTuple):
    """Voxels by score; the scores are the 15,361 numbers of half precision from 0 to 1, in their order.

    Attributes:
        inside: ``(v,)`` voxels of the class.
        outside: ``(v,)`` all others.
    """

    inside: NDArray[np.int64]
    outside: NDArray[np.int64]


def read_probabilities(path: Path, reference: Image) -> AnyArray:
    """The probabilities of a case, on the grid of its reference.

    Args:
        path: an ``.npz`` with the array ``probabilities``, in the axis order of the label file.
        reference: of the case.

    Returns:
        ``(k, *s)`` float16, 0 … 1.

    Raises:
        DamagedFileError: if it cannot be read, or holds anything but numbers from 0 to 1.
        GeometryError: if its shape is not the reference's.
    """
    data = read_bytes(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = archive.getinfo("probabilities.npy").file_size
        if size > MAX_DECODED_BYTES:
            raise ValueError(f"{size:,} bytes decoded, more than an image may have")
        array: AnyArray = np.load(io.BytesIO(data), allow_pickle=False)["probabilities"]
        if array.dtype.kind != "f" or array.ndim < 2 or not ((array >= 0) & (array <= 1)).all():
            raise ValueError(f"an array of {array.dtype.name} and shape {array.shape}, or values beyond 0 … 1")
    except Exception as error:  # BadZipFile, zlib.error, KeyError, ValueError, EOFError …
        raise DamagedFileError(
            "probabilities cannot be read",
            where=path,
            expected="an .npz file with the array probabilities, (classes, *shape), numbers from 0 to 1",
            received=f"{type(error).__name__}: {error}",
            todo="predict again with --probabilities, or remove the file",
        ) from error
    if reference.grid.orientation is not None and array.ndim == 4:
        array = np.stack([nib.orientations.apply_orientation(one, reference.grid.orientation) for one in array])
    if array.shape[1:] != reference.array.shape:
        raise GeometryError(
            "probabilities can only be compared on the reference's grid",
            where=path,
            expected=reference.array.shape,
            received=array.shape[1:],
            todo="predict the case's own image with --probabilities",
        )
    return np.abs(array.astype(np.float16))  # −0 has other bits than 0


def score_counts(probabilities: AnyArray, reference: AnyArray, classes: Classes, where: str) -> dict[int, ScoreCounts]:
    """Count the scores of every class against the rest.

    Args:
        probabilities: ``(k, *s)`` from ``read_probabilities``.
        reference: ``(*s)`` labels; unlabelled voxels are left out.
        classes: to count.
        where: the file, for the message.

    Raises:
        DamagedFileError: if a class has no map.
    """
    known = np.ones(reference.shape, bool) if classes.ignore is None else reference != classes.ignore
    if max(classes.names) >= len(probabilities):
        raise DamagedFileError(
            "a class has no probability map",
            where=where,
            expected=f"{max(classes.names) + 1} maps, the background's first",
            received=len(probabilities),
            todo="predict with a model of the same classes",
        )
    return {value: _counts(probabilities[value][known], (reference == value)[known]) for value in classes.names}


def auc_of(inside: AnyArray, outside: AnyArray) -> Floats:
    """Area under the ROC curve from counts: the chance that a voxel inside scores higher, ties counting half.

    Args:
        inside: ``(…, v)`` voxels inside by score, ascending.
        outside: ``(…, v)`` those outside.

    Returns:
        ``(…)`` 0 … 1, NaN where either has no voxel.
    """
    above = np.cumsum(outside, axis=-1) - outside / 2  # voxels outside that score lower, and half of the ties
    pairs = inside.sum(axis=-1, dtype=np.float64) * outside.sum(axis=-1, dtype=np.float64)
    won = (inside * above).sum(axis=-1)
    area: Floats = np.divide(won, pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)
    return area


def _counts(scores: AnyArray, inside: Mask) -> ScoreCounts:
    bits = np.ascontiguousarray(scores).view(np.uint16)
    return ScoreCounts(*(np.bincount(bits[side], minlength=_ONE + 1) for side in (inside, ~inside)))
