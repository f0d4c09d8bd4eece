"""The NIfTI codec: bytes to an image on a consistent grid, and back.

Tools disagree about damaged and contradictory files, and some read them silently. Here the header is read field by
field, the data must have exactly the size that the header states, and every repair is a named rule.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pointillist.data.compressed import MAX_DECODED_BYTES, gunzip
from pointillist.data.image import Grid, HeaderRule, Image
from pointillist.errors import DamagedFileError, GeometryError, InputError
from pointillist.types import AnyArray, Floats

_DTYPES = {np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")}
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # NIFTI_UNITS: unknown, metre, millimetre, micrometre
_SPATIAL_UNIT_BITS = 0x07
_RAS = np.array([[0, 1], [1, 1], [2, 1]], dtype=np.float64)
_LENGTH_TOLERANCE = 1e-3
_SHEAR_NOISE = 1e-4  # cosine between two axes: below this it is rounding,
_SHEAR_REPAIRED = 1e-2  # up to this the nearest rotation is taken and said, above it the file is refused


def decode_nifti(data: bytes, where: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Decode the bytes of a ``.nii`` or ``.nii.gz`` file strictly.

    Rules, each reported in the image's notes when it was applied:

    * unit-columns: where the affine's columns all have length 1 and pixdim does not, pixdim wins;
    * small-shear: axes less than 0.6° from perpendicular are made perpendicular;
    * trailing-axis: axes of length 1 after the third are dropped; a single 2-D slice becomes a volume of one;
    * units: metres and micrometres become millimetres.

    Args:
        data: the whole file.
        where: its name, for messages; ``.gz`` says that it is compressed.
        header_rule: which side to believe where pixdim and affine contradict each other in another way.

    Returns:
        The volume in canonical (closest to RAS+) order; its grid remembers the order of the file.

    Raises:
        DamagedFileError: truncated, corrupt, empty, not NIfTI, or not of the size that its header states.
        GeometryError: zero, negative or non-finite spacing; sheared, singular or contradictory affine; not 3-D.
    """
    raw = gunzip(data, where=where) if where.name.lower().endswith(".gz") else data
    header = _header(raw, where)
    array, notes = _squeeze(_voxels(raw, header, where), where)
    affine, geometry_notes = _affine(header, where, header_rule)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    orientation = np.asarray(nib.orientations.io_orientation(affine))
    canonical = nib.orientations.apply_orientation(array, orientation)
    canonical_affine = affine @ nib.orientations.inv_ornt_aff(orientation, array.shape)
    order = np.argsort(orientation[:, 0])
    grid = Grid(
        shape=tuple(canonical.shape),
        spacing_mm=tuple(float(s) for s in spacing[order]),
        affine=canonical_affine,
        orientation=orientation,
    )
    return Image(canonical, grid, notes + geometry_notes, str(where))


def encode_nifti(array: AnyArray, grid: Grid, *, compress: bool) -> bytes:
    """The bytes of a NIfTI file whose pixdim, qform and sform say the same; the same input gives the same bytes.

    Args:
        array: ``(*s)`` in canonical order; written in the axis order and dtype it had in its own file.
        grid: the grid it was read on.
        compress: gzip the result.

    Raises:
        InputError: if the grid has no affine, that is, does not come from a volume.
    """
    if grid.affine is None or grid.orientation is None:
        raise InputError("only a volume with a physical grid can be written as NIfTI", received=f"shape {grid.shape}")
    undo = nib.orientations.ornt_transform(_RAS, grid.orientation)
    native = np.ascontiguousarray(nib.orientations.apply_orientation(array, undo))
    affine = grid.affine @ nib.orientations.inv_ornt_aff(undo, array.shape)
    kind: Any = nib.Nifti1Image if max(native.shape) < 1 << 15 else nib.Nifti2Image
    image: Any = kind(native, affine, dtype=native.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    data: bytes = image.to_bytes()
    return gzip.compress(data, compresslevel=5, mtime=0) if compress else data


def _header(raw: bytes, path: Path) -> Any:  # nibabel's headers are untyped
    size = int.from_bytes(raw[:4], "little")
    swapped = int.from_bytes(raw[:4], "big")
    for length, kind, magic in ((348, nib.Nifti1Header, b"n+1"), (540, nib.Nifti2Header, b"n+2")):
        if length in (size, swapped) and len(raw) >= length:
            header = kind.from_fileobj(io.BytesIO(raw), check=False)
            if bytes(header["magic"].item()).startswith(magic):
                return header
    raise DamagedFileError(
        "this is not a NIfTI file",
        where=path,
        expected="a NIfTI-1 or NIfTI-2 single-file header",
        received=f"{len(raw):,} bytes that start with {raw[:8]!r}",
        todo="copy the file again, or convert it to .nii.gz",
    )


def _voxels(raw: bytes, header: Any, path: Path) -> AnyArray:
    dims = int(header["dim"][0])
    shape = tuple(int(n) for n in header["dim"][1 : 1 + dims]) if 1 <= dims <= 7 else ()
    if not shape or min(shape) < 1:
        raise DamagedFileError(
            "the header states an impossible shape",
            where=f"{path}, field dim",
            expected="1 … 7 axes, each at least 1 long",
            received=np.asarray(header["dim"]).tolist(),
            todo="copy the file again from its source",
        )
    dtype = _dtype(header, path)
    offset = float(header["vox_offset"])
    offset = int(offset) if np.isfinite(offset) and offset >= len(header.binaryblock) else len(header.binaryblock) + 4
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size > MAX_DECODED_BYTES or offset + size != len(raw):
        raise DamagedFileError(
            "the data does not have the size that the header states",
            where=path,
            expected=f"{offset + size:,} bytes for {' × '.join(map(str, shape))} voxels of {dtype.name}",
            received=f"{len(raw):,} bytes (at most {MAX_DECODED_BYTES:,} are read)",
            todo="copy the file again from its source",
        )
    flat = np.frombuffer(raw, dtype=dtype, offset=offset)
    array = flat.reshape(shape, order="F").astype(dtype.newbyteorder("="), copy=False)
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if np.isfinite(slope) and slope != 0 and (slope, intercept) != (1.0, 0.0):
        array = array * slope + (intercept if np.isfinite(intercept) else 0.0)
    return array


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except nib.spatialimages.HeaderDataError:
        dtype = np.dtype("V")
    if dtype.newbyteorder("=") not in _DTYPES:
        raise DamagedFileError(
            "the voxels are of a kind that is not read",
            where=f"{path}, field datatype",
            expected="integers or real numbers of 8 … 64 bits",
            received=f"code {int(header['datatype'])} ({dtype})",
            todo="convert the file to one real number per voxel",
        )
    return dtype


def _squeeze(array: AnyArray, path: Path) -> tuple[AnyArray, tuple[str, ...]]:
    if array.ndim == 3:
        return array, ()
    if array.ndim < 3:
        return array.reshape(array.shape + (1,) * (3 - array.ndim)), (
            "trailing-axis: a single slice was read as a volume of one",
        )
    if any(n != 1 for n in array.shape[3:]):
        raise GeometryError(
            "the file does not hold one volume",
            where=path,
            expected="three axes",
            received=f"shape {array.shape}",
            todo="split the series into one file a volume",
        )
    return array.reshape(array.shape[:3]), ("trailing-axis: axes of length 1 after the third were dropped",)


def _affine(header: Any, path: Path, rule: HeaderRule) -> tuple[Floats, tuple[str, ...]]:
    pixdim = _pixdim(header, path)
    try:
        affine = _stated_affine(header)
    except nib.spatialimages.HeaderDataError:  # a quaternion longer than 1
        affine = np.full((4, 4), np.nan)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise GeometryError(
            "the affine is singular or not finite",
            where=f"{path}, fields srow_x, srow_y, srow_z (or the quaternion)",
            expected="three independent, finite columns",
            received=np.round(affine[:3], 6).tolist(),
            todo="mend the header from the scanner's original",
        )
    affine, notes = _agree(affine, pixdim, path, rule)
    affine, shear_notes = _perpendicular(affine, path)
    unit = int(header["xyzt_units"]) & _SPATIAL_UNIT_BITS
    scale = _MM_PER_UNIT.get(unit, 1.0)
    if scale != 1.0:
        affine = np.diag([scale, scale, scale, 1.0]) @ affine
        shear_notes += (f"units: 1 unit of the header = {scale:g} mm",)
    return affine, notes + shear_notes


def _pixdim(header: Any, path: Path) -> Floats:
    axes = min(3, int(header["dim"][0]))
    pixdim = np.ones(3)
    pixdim[:axes] = header["pixdim"][1 : 1 + axes]
    if not (np.isfinite(pixdim).all() and (pixdim > 0).all()):
        raise GeometryError(
            "the spacing is impossible",
            where=f"{path}, field pixdim",
            expected="three positive, finite lengths",
            received=pixdim.tolist(),
            todo="mend the header from the scanner's original",
        )
    return pixdim


def _stated_affine(header: Any) -> Floats:
    """The sform, else the qform, else a diagonal affine, as the NIfTI standard ranks them."""
    for code, read in (("sform_code", header.get_sform), ("qform_code", header.get_qform)):
        if int(header[code]) > 0:
            return np.asarray(read(), dtype=np.float64)
    return np.asarray(header.get_base_affine(), dtype=np.float64)


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
