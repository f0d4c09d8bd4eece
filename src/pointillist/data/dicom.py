"""Slices in DICOM files, put together to one volume on a consistent grid."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointillist.data.image import Image
from pointillist.data.nifti import canonical_volume
from pointillist.errors import DamagedFileError, GeometryError, InputError
from pointillist.types import AnyArray, Floats

_TAGS = {"PixelSpacing": 2, "ImagePositionPatient": 3, "ImageOrientationPatient": 6}
_ANGLE_TOLERANCE = 1e-3
_LENGTH_TOLERANCE = 1e-3
_GAP_TOLERANCE = 0.05  # scanners round positions; a slice that is missing makes a gap of twice the width
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # unpacks to any size, and no scanner writes it
_HEAD = 4096
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Series:
    """A volume made of single slices.

    Attributes:
        image: the volume, in canonical order.
        size: rows and columns of a slice.
        order: for every slice from the first to the last along the axis, the place of its file in the list given.
        affine: ``(4, 4)``, column, row and slice to millimetres (RAS+).
    """

    image: Image
    size: tuple[int, int]
    order: tuple[int, ...]
    affine: Floats

    def stacked(self, planes: Sequence[AnyArray], where: str) -> Image:
        """Other pixels on the volume's grid.

        Args:
            planes: ``(rows, columns)`` for every file, in the order of the list given.
            where: for messages.
        """
        volume = np.stack([planes[place].T for place in self.order], axis=-1)
        return canonical_volume(volume, self.affine, (), where)


@dataclass(frozen=True, eq=False)
class _Slice:
    pixels: AnyArray
    spacing: Floats
    position: Floats
    along_row: Floats
    along_column: Floats
    where: Path


def decode_series(files: Sequence[tuple[bytes, Path]]) -> Series:
    """Decode the DICOM files of one series; slices are ordered by where they lie in the patient.

    The distance between slices is the one between their positions, not the stated slice thickness; stored values are
    rescaled as the file says.

    Args:
        files: content and name of every file, in any order.

    Raises:
        InputError: if pydicom is not installed.
        DamagedFileError: if a file is truncated, no DICOM file, or holds no single grey image.
        GeometryError: if the slices do not make one volume: sizes, spacings or directions that differ, a slice that
            is missing or there twice, slices that are not stacked straight.
    """
    slices = [_decode(data, where) for data, where in files]
    first = slices[0]
    for other in slices[1:]:
        _check_alike(first, other)
    normal = np.cross(first.along_row, first.along_column)
    distance = np.array([normal @ one.position for one in slices])
    order = np.argsort(distance, kind="stable")
    step = _step(np.array([slices[place].position for place in order]), distance[order], normal, first.where.parent)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([first.along_row * first.spacing[1], first.along_column * first.spacing[0], step], axis=1)
    affine[:3, 3] = slices[order[0]].position
    affine[:3] *= _LPS_TO_RAS[:, None]
    volume = np.stack([slices[place].pixels.T for place in order], axis=-1)
    image = canonical_volume(volume, affine, (), str(first.where.parent))
    rows, columns = first.pixels.shape
    return Series(image, (rows, columns), tuple(int(place) for place in order), affine)


def _decode(data: bytes, where: Path) -> _Slice:
    try:
        import pydicom  # an extra: few users have DICOM files
    except ImportError as error:
        raise InputError(
            "DICOM files need one more package",
            where=where,
            expected="the package pydicom",
            received=error,
            todo="pip install 'pointillist[dicom]'",
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is odd but readable; what matters is checked below
            if _DEFLATED in data[:_HEAD]:
                raise NotImplementedError("the whole file is deflated")
            stated = pydicom.dcmread(io.BytesIO(data))
            if stated.file_meta.TransferSyntaxUID.is_compressed:
                raise NotImplementedError(f"pixels are stored as {stated.file_meta.TransferSyntaxUID.name}")
            pixels = np.asarray(stated.pixel_array)
            numbers = {tag: _numbers(stated, tag, length) for tag, length in _TAGS.items()}
            pixels = _rescaled(pixels, stated)
    except Exception as error:  # InvalidDicomError, AttributeError, ValueError, NotImplementedError, struct.error …
        raise DamagedFileError(
            "the DICOM file cannot be read",
            where=where,
            expected=f"one grey image with {', '.join(_TAGS)}",
            received=f"{type(error).__name__}: {error}",
            todo="copy the file again from its source; compressed pixels have to be decompressed first",
        ) from error
    _check_plane(stated, pixels, numbers, where)
    directions = numbers["ImageOrientationPatient"]
    return _Slice(
        pixels, numbers["PixelSpacing"], numbers["ImagePositionPatient"], directions[:3], directions[3:], where
    )


def _numbers(stated: Any, tag: str, length: int) -> Floats:
    values: Floats = np.array([float(value) for value in stated[tag].value])
    if values.shape != (length,) or not np.isfinite(values).all():
        raise ValueError(f"{tag} is {values.tolist()}")
    return values


def _rescaled(pixels: AnyArray, stated: Any) -> AnyArray:
    slope, intercept = float(stated.get("RescaleSlope", 1) or 1), float(stated.get("RescaleIntercept", 0) or 0)
    if (slope, intercept) == (1.0, 0.0):
        return pixels
    scaled = pixels.astype(np.float64) * slope + intercept
    if not np.isfinite(scaled).all():
        raise ValueError(f"values are rescaled by {slope} and {intercept}")
    whole = slope == round(slope) and intercept == round(intercept) and np.abs(scaled).max() < 2**15
    return scaled.astype(np.int16 if whole else np.float32)


def _check_plane(stated: Any, pixels: AnyArray, numbers: dict[str, Floats], where: Path) -> None:
    grey = stated.get("PhotometricInterpretation") == "MONOCHROME2"
    if pixels.ndim != 2 or not grey:
        raise DamagedFileError(
            "the DICOM file holds no single grey image",
            where=where,
            expected="one frame, MONOCHROME2",
            received=f"shape {pixels.shape}, {stated.get('PhotometricInterpretation')}",
            todo="check that this is a slice of the series, or convert the series to NIfTI",
        )
    if numbers["PixelSpacing"].min() <= 0:
        raise GeometryError(
            "the spacing is impossible",
            where=f"{where}, PixelSpacing",
            expected="two lengths above 0 mm",
            received=numbers["PixelSpacing"].tolist(),
            todo="copy the file again from its source",
        )
    row, column = numbers["ImageOrientationPatient"][:3], numbers["ImageOrientationPatient"][3:]
    off = max(float(abs(x)) for x in (np.linalg.norm(row) - 1, np.linalg.norm(column) - 1, row @ column))
    if off > _ANGLE_TOLERANCE:
        raise GeometryError(
            "the orientation is impossible",
            where=f"{where}, ImageOrientationPatient",
            expected="two perpendicular directions of length 1",
            received=[*row.tolist(), *column.tolist()],
            todo="copy the file again from its source",
        )


def _check_alike(first: _Slice, other: _Slice) -> None:
    sides = (
        ("size", first.pixels.shape, other.pixels.shape, 0.0),
        ("spacing", first.spacing, other.spacing, _LENGTH_TOLERANCE),
        ("direction", first.along_row, other.along_row, _ANGLE_TOLERANCE),
        ("direction", first.along_column, other.along_column, _ANGLE_TOLERANCE),
    )
    for what, expected, received, tolerance in sides:
        if not np.allclose(expected, received, rtol=0, atol=tolerance):
            raise GeometryError(
                f"slices of one series differ in their {what}",
                where=f"{other.where} against {first.where}",
                expected=np.asarray(expected).tolist(),
                received=np.asarray(received).tolist(),
                todo="check that every slice belongs to this series",
            )


def _step(positions: Floats, distance: Floats, normal: Floats, where: Path) -> Floats:
    """The way from one slice to the next, after making sure that it is the same everywhere."""
    gaps = np.diff(distance)
    typical = float(np.median(gaps)) if len(gaps) else 0.0
    uneven = np.abs(gaps - typical) > _GAP_TOLERANCE * typical
    if typical <= 0 or uneven.any():
        raise GeometryError(
            "the slices of a series are not evenly spaced",
            where=where,
            expected="two slices or more, one distance between neighbours",
            received=f"{len(positions)} slices at {np.round(np.unique(np.round(gaps, 3))[:5], 3).tolist()} mm",
            todo="complete the series, or remove what is there twice",
        )
    step: Floats = (positions[-1] - positions[0]) / len(gaps)
    aside = float(np.linalg.norm(step - normal * (normal @ step)))
    if aside > _GAP_TOLERANCE * typical:
        raise GeometryError(
            "the slices of a series are not stacked straight",
            where=where,
            expected="positions along the slices' normal",
            received=f"{aside:.3g} mm aside from one slice to the next",
            todo="resample the series to a straight one",
        )
    return normal * (normal @ step)
