"""What a NIfTI header says about millimetres: one consistent affine, or one clear refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pointillist.data.image import HeaderRule
from pointillist.errors import GeometryError
from pointillist.types import Floats

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIFTI_UNITS: unknown, metre, millimetre, micrometre
_SPATIAL_UNIT_BITS = 0x07
_LENGTH_TOLERANCE = 1e-3
_ORIGIN_TOLERANCE_MM = 1e-2
_SHORTEST, _FURTHEST = 1e-9, 1e9  # units of the header: what lies beyond is damage, and would overflow
_SINGULAR = 1e-6  # volume spanned by the three directions, 1 where they are perpendicular
_SHEAR_NOISE = 1e-4  # cosine between two axes: below this it is rounding,
_SHEAR_REPAIRED = 1e-2  # up to this the nearest rotation is taken and said, above it the file is refused


def affine_of(header: Any, path: Path, rule: HeaderRule) -> tuple[Floats, tuple[str, ...]]:
    """The affine that a header states, voxel indices of the file to millimetres.

    Args:
        header: a NIfTI header of nibabel.
        path: the file, for messages.
        rule: which side to believe where pixdim and affine contradict each other other than by unit columns.

    Returns:
        ``(4, 4)`` with perpendicular columns, and every rule that was applied.

    Raises:
        GeometryError: zero, negative or non-finite spacing; sheared, singular or contradictory affine.
    """
    pixdim = _pixdim(header, path)
    affine, stated_notes = _stated_affine(header, pixdim)
    if _is_singular(affine):
        raise GeometryError(
            "the affine is singular or not finite",
            where=f"{path}, fields srow_x, srow_y, srow_z (or the quaternion)",
            expected="three independent, finite columns",
            received=[[float(f"{value:.6g}") for value in row] for row in affine[:3]],
            todo="mend the header from the scanner's original",
        )
    axes = int(header["dim"][0])
    pixdim[axes:] = np.linalg.norm(affine[:3, :3], axis=0)[axes:]  # a 2-D file states no third spacing to compare
    affine, notes = _agree(affine, pixdim, path, rule)
    affine, shear_notes = _perpendicular(affine, path)
    affine, unit_notes = _in_millimetres(affine, int(header["xyzt_units"]) & _SPATIAL_UNIT_BITS)
    return affine, (*stated_notes, *notes, *shear_notes, *unit_notes)


def _is_singular(affine: Floats) -> bool:
    if not (np.abs(affine) <= _FURTHEST).all():  # also where it is NaN
        return True
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if (lengths < _SHORTEST).any():
        return True
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) < _SINGULAR)


def _in_millimetres(affine: Floats, unit: int) -> tuple[Floats, tuple[str, ...]]:
    if unit not in _MM_PER_UNIT:
        return affine, (f"units: the header's unit code {unit} is not known and counts as millimetres",)
    scale = _MM_PER_UNIT[unit]
    if scale == 1.0:
        return affine, ()
    return np.diag([scale, scale, scale, 1.0]) @ affine, (f"units: 1 unit of the header = {scale:g} mm",)


def _pixdim(header: Any, path: Path) -> Floats:
    pixdim = np.array(header["pixdim"][1:4], dtype=np.float64)
    lacking = np.arange(3) >= int(header["dim"][0])  # axes that a 2-D file does not have
    pixdim[lacking & ~((pixdim >= _SHORTEST) & (pixdim <= _FURTHEST))] = 1.0
    if not ((pixdim >= _SHORTEST) & (pixdim <= _FURTHEST)).all():
        raise GeometryError(
            "the spacing is impossible",
            where=f"{path}, field pixdim",
            expected="three positive, finite lengths",
            received=pixdim.tolist(),
            todo="mend the header from the scanner's original",
        )
    return pixdim


def _stated_affine(header: Any, pixdim: Floats) -> tuple[Floats, tuple[str, ...]]:
    """The sform, else the qform, else a diagonal affine, as the NIfTI standard ranks them."""
    sform = np.asarray(header.get_sform(), dtype=np.float64) if int(header["sform_code"]) > 0 else None
    qform, qform_notes = _qform(header, pixdim) if int(header["qform_code"]) > 0 else (None, ())
    if sform is not None:
        differ = qform is not None and not _is_singular(sform) and not _same_place(sform, qform)
        note = "sform-over-qform: the header states two positions that differ, and the sform counts"
        return sform, (note,) if differ else ()
    if qform is not None:
        return qform, qform_notes
    plain = header.copy()
    plain["pixdim"][1:4] = pixdim
    plain["dim"][1:4] = np.maximum(plain["dim"][1:4], 1)
    note = "no-orientation: neither sform nor qform is stated, the first axis is taken to run from right to left"
    return np.asarray(plain.get_base_affine(), dtype=np.float64), (note,)


def _qform(header: Any, pixdim: Floats) -> tuple[Floats, tuple[str, ...]]:
    """The affine of the quaternion, not finite where it is not a rotation, and the rule that was applied."""
    mended = header.copy()
    mended["pixdim"][1:4] = pixdim  # axes that a 2-D file lacks hold anything
    handedness = float(header["pixdim"][0])
    notes: tuple[str, ...] = ()
    if handedness not in (-1.0, 1.0):
        mended["pixdim"][0] = 1
        notes = (f"qfac: pixdim[0] = {handedness:g} was read as 1",)
    try:
        return np.asarray(mended.get_qform(), dtype=np.float64), notes
    except (nib.spatialimages.HeaderDataError, ValueError):  # a quaternion longer than 1
        return np.full((4, 4), np.nan), notes


def _same_place(sform: Floats, qform: Floats) -> bool:
    """Whether two affines point the same way from the same origin; lengths are compared elsewhere."""
    one, other = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in (sform, qform))
    return bool(
        np.allclose(one, other, rtol=0, atol=_LENGTH_TOLERANCE)
        and np.allclose(sform[:3, 3], qform[:3, 3], atol=_ORIGIN_TOLERANCE_MM)
    )


def _agree(affine: Floats, pixdim: Floats, path: Path, rule: HeaderRule) -> tuple[Floats, tuple[str, ...]]:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if np.allclose(lengths, pixdim, rtol=_LENGTH_TOLERANCE):
        return affine, ()
    if rule == "affine":
        return affine, (f"header-rule affine: spacing {lengths.round(6).tolist()} over pixdim {pixdim.tolist()}",)
    unit_columns = bool(np.allclose(lengths, 1.0, rtol=_LENGTH_TOLERANCE))
    if not unit_columns and rule == "auto":
        raise GeometryError(
            "the header contradicts itself about the spacing",
            where=f"{path}, fields pixdim and affine",
            expected="affine columns as long as pixdim says",
            received=f"pixdim {pixdim.round(6).tolist()}, affine columns {lengths.round(6).tolist()}",
            todo="say which is right with --header-rule pixdim or --header-rule affine",
        )
    scaled = affine.copy()
    scaled[:3, :3] *= pixdim / lengths
    name = "unit-columns" if unit_columns else "header-rule pixdim"
    return scaled, (f"{name}: pixdim {pixdim.round(6).tolist()} over affine columns {lengths.round(6).tolist()}",)


def _perpendicular(affine: Floats, path: Path) -> tuple[Floats, tuple[str, ...]]:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / lengths
    cosines = directions.T @ directions
    shear = float(np.abs(cosines - np.eye(3)).max())
    if shear <= _SHEAR_NOISE:
        return affine, ()
    if shear > _SHEAR_REPAIRED:
        raise GeometryError(
            "the axes of the image are not perpendicular",
            where=f"{path}, affine",
            expected=f"cosine between axes at most {_SHEAR_REPAIRED}",
            received=f"{shear:.4f}",
            todo="resample the image onto a rectangular grid",
        )
    u, _, vt = np.linalg.svd(directions)
    mended = affine.copy()
    mended[:3, :3] = (u @ vt) * lengths
    return mended, (f"small-shear: axes with cosine {shear:.2g} were made perpendicular",)
