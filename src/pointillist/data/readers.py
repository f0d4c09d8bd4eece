"""Strict readers: an image or a label map from a file, or one clear error. Nothing damaged is read silently."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from pointillist.data.compressed import read_bytes
from pointillist.data.flat import FLAT_ENDINGS, decode_flat
from pointillist.data.image import HeaderRule, Image
from pointillist.data.nifti import decode_nifti
from pointillist.errors import DamagedFileError, LabelError
from pointillist.types import AnyArray

NIFTI_ENDINGS = (".nii.gz", ".nii")
IMAGE_ENDINGS = (*NIFTI_ENDINGS, *FLAT_ENDINGS)
"""Endings that are read, longest first where one ends in another."""


def split_ending(path: Path) -> tuple[str, str]:
    """File name without its image ending, and that ending in lower case (empty for any other file).

    >>> split_ending(Path("patient001_frame01.nii.gz"))
    ('patient001_frame01', '.nii.gz')
    """
    name = path.name.lower()
    for ending in IMAGE_ENDINGS:
        if name.endswith(ending):
            return path.name[: -len(ending)], ending
    return path.name, ""


def read_image(path: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Read an image file of any supported kind; see ``decode_image`` for rules and errors.

    Args:
        path: ``.nii``, ``.nii.gz``, ``.png``, ``.bmp``, ``.jpg``, ``.tif``.
        header_rule: which side of a contradictory NIfTI header to believe.

    Returns:
        ``(*s)``, or ``(h, w, 3)`` for 2-D colour; volumes in canonical order.
    """
    return decode_image(read_bytes(path), path, header_rule=header_rule)


def read_label(path: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Read a label file of any supported kind; see ``decode_label`` for rules and errors.

    Args:
        path: as for ``read_image``.
        header_rule: as for ``read_image``.

    Returns:
        ``(*s)`` uint8 where all values fit, else int32.
    """
    return decode_label(read_bytes(path), path, header_rule=header_rule)


def decode_image(data: bytes, where: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Decode an image from the bytes of its file.

    Args:
        data: the whole file.
        where: its name: the ending says the kind, messages show it.
        header_rule: which side of a contradictory NIfTI header to believe.

    Returns:
        ``(*s)``, or ``(h, w, 3)`` for 2-D colour; volumes in canonical order.

    Raises:
        DamagedFileError: truncated, corrupt, empty, of another kind, or with values that are not finite.
        GeometryError: impossible or contradictory geometry (``pointillist.data.nifti.decode_nifti``).
    """
    return _decode_finite(data, where, header_rule, labels=False)


def _decode_finite(data: bytes, where: Path, header_rule: HeaderRule, *, labels: bool) -> Image:
    image = _decode_any(data, where, header_rule, labels=labels)
    if np.issubdtype(image.array.dtype, np.floating) and not np.isfinite(image.array).all():
        bad = int((~np.isfinite(image.array)).sum())
        raise DamagedFileError(
            "the image holds values that are not numbers",
            where=where,
            expected="finite values everywhere",
            received=f"{bad:,} of {image.array.size:,} voxels are NaN or infinite",
            todo="replace them by a value that makes sense for the modality, for example the background's",
        )
    return image


def decode_label(data: bytes, where: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Decode a label image: whole numbers only.

    Args:
        data: as for ``decode_image``.
        where: as for ``decode_image``.
        header_rule: as for ``decode_image``.

    Returns:
        ``(*s)`` uint8 where all values fit, else int32.

    Raises:
        LabelError: if values are not whole numbers, or the image is in colour.
        DamagedFileError: as ``decode_image``.
        GeometryError: as ``decode_image``.
    """
    image = _decode_finite(data, where, header_rule, labels=True)
    array, notes = _one_channel(image)
    if np.issubdtype(array.dtype, np.floating):
        fractions = array != np.round(array)
        if fractions.any():
            raise LabelError(
                "a label image holds fractions",
                where=where,
                expected="whole numbers",
                received=f"for example {float(array[fractions][0]):.6g}",
                todo="check that this is the label file and not an image or a probability map",
            )
        notes += ("whole-floats: labels stored as real numbers were read as whole numbers",)
    low, high = int(array.min()), int(array.max())
    if low < -(2**31) or high >= 2**31:
        raise LabelError(
            "a label image holds values beyond 32 bits",
            where=where,
            expected="|value| < 2³¹",
            received=(low, high),
            todo="give the labels smaller numbers, or check that this is the label file",
        )
    kind = np.uint8 if low >= 0 and high <= 255 else np.int32
    return replace(image, array=array.astype(kind), notes=notes)


def _one_channel(image: Image) -> tuple[AnyArray, tuple[str, ...]]:
    if image.channels == 1:
        return image.array, image.notes
    first = image.array[..., 0]
    if not (image.array == first[..., None]).all():
        raise LabelError(
            "a colour image cannot be a label image",
            where=image.where,
            expected="one whole number a pixel",
            received="red, green and blue that differ",
            todo="save class numbers instead of colours",
        )
    return first, (*image.notes, "grey-colour: a label image saved as RGB with equal channels was read as grey")


def _decode_any(data: bytes, where: Path, header_rule: HeaderRule, *, labels: bool) -> Image:
    if not data:
        raise DamagedFileError(
            "the file is empty", where=where, expected="an image", received="0 bytes", todo="copy it again"
        )
    _, ending = split_ending(where)
    if ending in NIFTI_ENDINGS:
        return decode_nifti(data, where, header_rule=header_rule)
    if ending in FLAT_ENDINGS:
        return decode_flat(data, where, labels=labels)
    raise DamagedFileError(
        "this kind of file is not read",
        where=where,
        expected=", ".join(IMAGE_ENDINGS),
        received=where.suffix or "no ending",
        todo="convert the image to one of these kinds",
    )
