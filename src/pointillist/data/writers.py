"""Atomic writers: a file appears under its name complete, or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from pointillist.data.flat import encode_flat
from pointillist.data.image import Grid
from pointillist.data.nifti import encode_nifti
from pointillist.data.readers import NIFTI_ENDINGS, split_ending
from pointillist.errors import InputError, LabelError
from pointillist.types import AnyArray

STORED_ENDINGS = (".nii.gz", ".nii", ".png", ".bmp", ".tif")
"""Endings that datasets use: nnU-Net's own list of lossless kinds."""


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that gets its name when the block ends well: a crash leaves the old content or the new.

    Args:
        path: final name; its folder is made if need be.

    Raises:
        OSError: naming the file, if the disk is full or the folder cannot be written; what had the final name before
            is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".partial")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:  # a full disk does not say which file
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file by ``atomic_file``.

    Args:
        path: final name; its folder is made if need be.
        data: the whole content.

    Raises:
        OSError: as ``atomic_file``.
    """
    with atomic_file(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; NaN is refused, since JSON has no such number.

    Args:
        path: final name.
        value: anything that ``json.dumps`` takes.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A file name that is not UTF-8 reaches us as lone surrogates; as \udcXX they are plain JSON and come back.
    atomic_write_bytes(path, (text + "\n").encode(errors="backslashreplace"))


def write_image(path: Path, array: AnyArray, grid: Grid) -> None:
    """Write an image in the kind that its name's ending states, on the grid it was read on.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.png``, ``.bmp`` or ``.tif``.
        array: ``(*s)`` or ``(h, w, 3)``, in memory order.
        grid: its grid.

    Raises:
        InputError: if the ending is not one that datasets use, or the kind of file cannot hold such values.
    """
    _, ending = split_ending(path)
    if ending not in STORED_ENDINGS:
        raise InputError(
            "images are not written in this kind",
            where=path,
            expected=", ".join(STORED_ENDINGS),
            received=path.name,
            todo="let the name end in one of these",
        )
    if ending in NIFTI_ENDINGS:
        data = encode_nifti(array, grid, compress=ending == ".nii.gz")
    else:
        data = encode_flat(array, ending)
    atomic_write_bytes(path, data)


def write_label(path: Path, labels: AnyArray, grid: Grid) -> None:
    """Write a label or instance map in the smallest unsigned type that holds it.

    Args:
        path: as for ``write_image``.
        labels: ``(*s)``, not negative.
        grid: its grid.

    Raises:
        LabelError: if a value is negative: the unsigned type would turn it into another label.
        InputError: as for ``write_image``.
    """
    if int(labels.min()) < 0:
        raise LabelError(
            "labels cannot be negative",
            where=path,
            expected="0, 1, 2, …",
            received=int(labels.min()),
            todo="number the labels from 0, the background",
        )
    write_image(path, labels.astype(np.min_scalar_type(int(labels.max()))), grid)
