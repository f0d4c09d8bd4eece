"""NRRD label maps of 3D Slicer and ITK-SNAP: the header through pynrrd, the data read to its last byte."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np

from pointillist.data.compressed import MAX_DECODED_BYTES, gunzip
from pointillist.data.image import Grid, Image
from pointillist.data.nifti import canonical_volume, native_order
from pointillist.errors import DamagedFileError, GeometryError
from pointillist.spec import TaskSpec
from pointillist.types import AnyArray, Floats, LabelMap

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_MOST_HEADER_BYTES = 1 << 20
_TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
}
_SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")
_SHEAR = 1e-3


def decode_nrrd(data: bytes, where: Path) -> tuple[Image, dict[int, str]]:
    """A label map in canonical order, and the names that 3D Slicer gives its values.

    Args:
        data: the whole file.
        where: its name, for messages.

    Returns:
        ``(*s)`` whole numbers on their grid, and the name of every value that is a segment.

    Raises:
        DamagedFileError: if it is cut off, corrupt, keeps its data in another file, or is no label map.
        GeometryError: if it is no volume with stated axes, or its segments overlap.
    """
    header, body = _header(data, where)
    sizes = [int(size) for size in header.get("sizes", ())]
    if len(sizes) != 3 or min(sizes, default=0) < 1:
        raise GeometryError(
            "the file does not hold one label map",
            where=where,
            expected="three axes",
            received=f"sizes {sizes}" + (": overlapping segments lie in layers" if len(sizes) == 4 else ""),
            todo="in 3D Slicer, export the segmentation as a label map (Segmentations > Export to files)",
        )
    array = _values(header, body, sizes, where)
    return canonical_volume(array, _affine(header, where), (), str(where)), _segments(header, where)


def encode_nrrd(labels: LabelMap, grid: Grid, names: dict[int, str], spec: TaskSpec) -> bytes:
    """A ``.seg.nrrd`` that 3D Slicer opens as a segmentation with named, coloured segments.

    Args:
        labels: ``(*s)`` in canonical order, 0 where nothing is marked.
        grid: its grid.
        names: of the values, as they are to be called.
        spec: for the colours.
    """
    array, affine = native_order(labels, grid)
    directions = [_vector(column) for column in (np.array([-1, -1, 1])[:, None] * affine[:3, :3]).T]
    lines = [
        "NRRD0005",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, array.shape))}",
        f"space directions: {' '.join(directions)}",
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: {_vector(np.array([-1, -1, 1]) * affine[:3, 3])}",
    ]
    for number, (value, name) in enumerate(sorted(names.items())):
        colour = bytes.fromhex(spec.colours[spec.classes.index(name)][1:])
        lines += [
            f"Segment{number}_ID:=Segment_{value}",
            f"Segment{number}_Name:={name}",
            f"Segment{number}_LabelValue:={value}",
            f"Segment{number}_Layer:=0",
            f"Segment{number}_Color:={' '.join(f'{part / 255:.6f}' for part in colour)}",
            f"Segment{number}_Extent:=0 {array.shape[0] - 1} 0 {array.shape[1] - 1} 0 {array.shape[2] - 1}",
        ]
    return ("\n".join(lines) + "\n\n").encode() + gzip.compress(array.tobytes(order="F"), compresslevel=5, mtime=0)


def _vector(values: Floats) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"


def _header(data: bytes, where: Path) -> tuple[dict[str, Any], bytes]:
    end = _HEADER_END.search(data, 0, _MOST_HEADER_BYTES)
    if not data.startswith(b"NRRD") or end is None:
        raise _damaged(where, f"{len(data):,} bytes that start with {data[:8]!r}")
    try:
        # lines of text, because pynrrd drops what is not ASCII from bytes
        header = dict(nrrd.read_header(data[: end.start()].decode().splitlines()))
    except Exception as error:  # pynrrd fails in many ways: NRRDError, ValueError, StopIteration …
        raise _damaged(where, f"{type(error).__name__}: {error}") from error
    other = {"data file", "datafile"} & set(header)
    if other:
        raise _damaged(where, f"data file: {header[other.pop()]} (the data is in another file, which is not read)")
    return header, data[end.end() :]


def _values(header: dict[str, Any], body: bytes, sizes: list[int], where: Path) -> AnyArray:
    kind, encoding = str(header.get("type")).lower(), str(header.get("encoding")).lower()
    skips = {name: header[name] for name in ("line skip", "lineskip", "byte skip", "byteskip") if header.get(name)}
    if kind not in _TYPES or encoding not in ("raw", "gzip", "gz") or skips:
        raise _damaged(where, f"type {kind}, encoding {encoding}{', ' if skips else ''}{skips or ''}")
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if str(header.get("endian", "little")).lower() == "big" else "<")
    count = int(np.prod(sizes, dtype=object)) * dtype.itemsize
    if count > MAX_DECODED_BYTES:
        raise _damaged(where, f"sizes {sizes}")
    raw = body if encoding == "raw" else gunzip(body, where=where, limit=count)
    if len(raw) != count:
        raise _damaged(where, f"{len(raw):,} bytes of data for {count:,}")
    array: AnyArray = np.frombuffer(raw, dtype).reshape(sizes, order="F").astype(dtype.newbyteorder("="))
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= 2**31:
        raise _damaged(where, f"values {low} … {high}")
    return array


def _affine(header: dict[str, Any], where: Path) -> Floats:
    """The axes in RAS; NRRD states them by vectors in its own space, which Slicer and ITK-SNAP write as LPS."""
    space = str(header.get("space", "")).lower()
    directions, origin = (np.asarray(header.get(name), dtype=object) for name in ("space directions", "space origin"))
    signs = _TO_RAS.get(space)
    affine = np.eye(4)
    if signs is not None and directions.shape == (3, 3) and origin.shape == (3,):
        affine[:3, :3], affine[:3, 3] = directions.astype(np.float64).T, origin.astype(np.float64)
        affine[:3] *= np.array(signs)[:, None]
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if np.isfinite(affine).all() and (lengths > 0).all():
            cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths)
            if np.abs(cosines - np.eye(3)).max() < _SHEAR and not np.isnan(nib.io_orientation(affine)).any():
                return affine
    raise GeometryError(
        "the file does not say where its voxels lie",
        where=f"{where}, fields space, space directions, space origin",
        expected="left-posterior-superior or right-anterior-superior, three perpendicular vectors, and an origin",
        received=f"{space or 'no space'}, {directions.tolist()}, {origin.tolist()}",
        todo="save it from 3D Slicer or ITK-SNAP with the image loaded",
    )


def _segments(header: dict[str, Any], where: Path) -> dict[int, str]:
    stated: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        match = _SEGMENT.fullmatch(key)
        if match:
            stated.setdefault(int(match[1]), {})[match[2]] = str(value)
    names: dict[int, str] = {}
    for one in stated.values():
        value = one.get("LabelValue", "")
        if not value.isdigit() or int(value) in names:
            raise _damaged(where, f"segment {one.get('Name')!r} with label value {value or 'none'}")
        names[int(value)] = one.get("Name", "")
    return names


def _damaged(where: Path, received: str) -> DamagedFileError:
    return DamagedFileError(
        "the NRRD file cannot be read as a label map",
        where=where,
        expected="a complete .nrrd file with whole numbers from 0, raw or gzip, in one file",
        received=received,
        todo="save it again from 3D Slicer or ITK-SNAP, as .nrrd, or as .nii.gz",
    )
