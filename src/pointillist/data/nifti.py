"""The NIfTI codec: bytes to an image on a consistent grid, and back.

Tools disagree about damaged and contradictory files, and some read them silently. Here the header is read field by
field, the data must have exactly the size that the header states, and every repair is a named rule.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pointillist.data.compressed import MAX_DECODED_BYTES, gunzip
from pointillist.data.image import Grid, HeaderRule, Image
from pointillist.data.nifti_geometry import affine_of
from pointillist.errors import DamagedFileError, GeometryError, InputError
from pointillist.types import AnyArray, Floats

_DTYPES = {np.dtype(kind) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")}
_RAS = np.array([[0, 1], [1, 1], [2, 1]], dtype=np.float64)
_MOST_PADDING = 4096  # zeros up to one disk block after the data are padding, more is another image than stated


def decode_nifti(data: bytes, where: Path, *, header_rule: HeaderRule = "auto") -> Image:
    """Decode the bytes of a ``.nii`` or ``.nii.gz`` file strictly.

    Rules, each reported in the image's notes when it was applied:

    * unit-columns: where the affine's columns all have length 1 and pixdim does not, pixdim wins;
    * small-shear: axes less than 0.6° from perpendicular are made perpendicular;
    * trailing-axis: axes of length 1 after the third are dropped; a single 2-D slice becomes a volume of one;
    * units: metres and micrometres become millimetres; a unit code that NIfTI does not know counts as millimetres;
    * padding: zeros after the data, up to one disk block, are left aside;
    * sform-over-qform: where both state a position and differ, the sform counts;
    * no-orientation: where neither is stated, the axes are taken as nibabel takes them;
    * qfac: a handedness other than 1 and -1 counts as 1, as the standard says.

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
    array, data_notes = _voxels(raw, header, where)
    array, notes = _squeeze(array, where)
    affine, geometry_notes = affine_of(header, where, header_rule)
    return canonical_volume(array, affine, (*data_notes, *notes, *geometry_notes), str(where))


def canonical_volume(array: AnyArray, affine: Floats, notes: tuple[str, ...], where: str) -> Image:
    """A volume in canonical (closest to RAS+) order, whose grid remembers the order it came in.

    Args:
        array: ``(*s)`` in the order of its file.
        affine: ``(4, 4)``, its indices to millimetres (RAS+); columns perpendicular.
        notes: repairs that were applied while reading.
        where: the file, for messages.
    """
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
    return Image(canonical, grid, notes, where)


def encode_nifti(array: AnyArray, grid: Grid, *, compress: bool) -> bytes:
    """The bytes of a NIfTI file whose pixdim, qform and sform say the same; the same input gives the same bytes.

    Args:
        array: ``(*s)`` in canonical order; written in the axis order and dtype it had in its own file.
        grid: the grid it was read on.
        compress: gzip the result.

    Raises:
        InputError: if the grid has no affine, that is, does not come from a volume, or if the values are of a type
            that NIfTI does not have.
    """
    native, affine = native_order(array, grid)
    if array.dtype not in _DTYPES:
        raise InputError(
            "values of this type cannot be written as NIfTI",
            where=f"NIfTI file with an array of shape {array.shape}",
            expected="integers or real numbers of 8 … 64 bits (float16 excepted)",
            received=array.dtype,
            todo="convert the values to float32 or to an integer type",
        )
    kind: Any = nib.Nifti1Image if max(native.shape) < 1 << 15 else nib.Nifti2Image
    image: Any = kind(native, affine, dtype=native.dtype)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine, code="scanner")
    image.set_sform(affine, code="scanner")
    data: bytes = image.to_bytes()
    return gzip.compress(data, compresslevel=5, mtime=0) if compress else data


def native_order(array: AnyArray, grid: Grid) -> tuple[AnyArray, Floats]:
    """A volume in the axis order of its file, and the affine of that order.

    Args:
        array: ``(*s)`` in canonical order.
        grid: the grid it was read on.

    Raises:
        InputError: if the grid has no affine, that is, does not come from a volume.
    """
    if grid.affine is None or grid.orientation is None:
        raise InputError(
            "only a volume with a physical grid can be written as NIfTI",
            where="grid of the volume",
            expected="an affine and an orientation",
            received=f"shape {grid.shape}",
            todo="write 2-D images as .png or .tif",
        )
    undo = _undo(grid)
    native: AnyArray = np.ascontiguousarray(nib.orientations.apply_orientation(array, undo))
    affine: Floats = grid.affine @ native_to_canonical(grid)
    return native, affine


def native_to_canonical(grid: Grid) -> Floats:
    """``(4, 4)`` that takes voxel indices in the order of the file to those in memory.

    Args:
        grid: of a volume.
    """
    matrix: Floats = nib.orientations.inv_ornt_aff(_undo(grid), grid.shape)
    return matrix


def _undo(grid: Grid) -> Any:
    return nib.orientations.ornt_transform(_RAS, grid.orientation)


def _header(raw: bytes, path: Path) -> Any:  # nibabel's headers are untyped
    size = int.from_bytes(raw[:4], "little")
    swapped = int.from_bytes(raw[:4], "big")
    kinds: Any = ((348, nib.Nifti1Header, b"n+1"), (540, nib.Nifti2Header, b"n+2"))
    for length, kind, magic in kinds:
        if length in (size, swapped) and len(raw) >= length:
            header = kind(raw[:length], endianness="<" if size == length else ">", check=False)
            if bytes(header["magic"].item()).startswith(magic):
                return header
    raise DamagedFileError(
        "this is not a NIfTI file",
        where=path,
        expected="a NIfTI-1 or NIfTI-2 single-file header",
        received=f"{len(raw):,} bytes that start with {raw[:8]!r}",
        todo="copy the file again, or convert it to .nii.gz",
    )


def _voxels(raw: bytes, header: Any, path: Path) -> tuple[AnyArray, tuple[str, ...]]:
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
    surplus = len(raw) - offset - size
    padded = 0 < surplus <= _MOST_PADDING and raw.count(0, offset + size) == surplus
    if size > MAX_DECODED_BYTES or not (surplus == 0 or padded):
        raise DamagedFileError(
            "the data does not have the size that the header states",
            where=path,
            expected=f"{offset + size:,} bytes for {' × '.join(map(str, shape))} voxels of {dtype.name}",
            received=f"{len(raw):,} bytes (at most {MAX_DECODED_BYTES:,} are read)",
            todo="copy the file again from its source",
        )
    flat = np.frombuffer(raw, dtype=dtype, offset=offset, count=size // dtype.itemsize)
    array = flat.reshape(shape, order="F").astype(dtype.newbyteorder("="), copy=False)
    notes = (f"padding: {surplus} zeros after the data were left aside",) if padded else ()
    return _scaled(array, header, path), notes


def _scaled(array: AnyArray, header: Any, path: Path) -> AnyArray:
    """The values that the stored numbers stand for; a slope of 0 or NaN means the numbers themselves."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope) or (slope, intercept) == (1.0, 0.0):
        return array
    if not (np.isfinite(slope) and np.isfinite(intercept)):
        raise DamagedFileError(
            "the header states an impossible scaling of the values",
            where=f"{path}, fields scl_slope and scl_inter",
            expected="two finite numbers, or a slope of 0 for none",
            received=f"slope {slope}, intercept {intercept}",
            todo="mend the header from the scanner's original",
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused with the values that are not finite
        scaled: AnyArray = array.astype(np.float64) * slope + intercept
    return scaled


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = np.dtype(header.get_data_dtype())
    except (nib.spatialimages.HeaderDataError, KeyError):  # KeyError: a code that NIfTI does not know
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
