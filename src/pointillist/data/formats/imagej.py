"""ImageJ's ROI files and ROI zips, through roifile.

ImageJ counts lines and points from pixel centres (pixel 3 is 3), and the vertices of areas from pixel corners (the left
edge of pixel 3 is 3, its centre 3.5); see ``ij.gui.Roi.useLineSubpixelConvention``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from pointillist.data.compressed import read_bytes
from pointillist.data.formats.drawn import MOST_BYTES, MOST_SHAPES, Drawn, Kind, too_large, vertices
from pointillist.data.formats.geojson import region_rings
from pointillist.data.formats.regions import regions_of
from pointillist.data.source import open_source
from pointillist.errors import DamagedFileError
from pointillist.spec import TaskSpec
from pointillist.types import Floats, LabelMap, Stroke

_CORNER = -0.5
_KINDS: dict[ROI_TYPE, Kind] = {
    ROI_TYPE.POINT: "point",
    **dict.fromkeys((ROI_TYPE.LINE, ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE), "line"),
    **dict.fromkeys((ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL), "area"),
}
_NO_MARKS = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)
_OVAL_VERTICES = 360
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def read_imagej(path: Path) -> tuple[list[Drawn], tuple[str, ...]]:
    """Every ROI of a ``.roi`` file, or of a ``.zip`` archive in the order of the ROI manager.

    Args:
        path: the file. The members of an archive are checked before one is read, and never unpacked to disk.

    Returns:
        Shapes, and what was left out.

    Raises:
        ArchiveError: if a member must not be read (``pointillist.data.source.open_source``).
        DamagedFileError: if a ROI is damaged, or is something that is no mark.
    """
    if path.suffix.lower() != ".zip":
        return _bounded(_decoded(read_bytes(path), path), path), ()
    source = open_source(path)
    wanted = [name for name in source.names if name.lower().endswith(".roi")]
    with zipfile.ZipFile(path) as archive:
        order = {name: place for place, name in enumerate(archive.namelist())}
    shapes: list[Drawn] = []
    for name in sorted(wanted, key=order.__getitem__):
        shapes += _bounded(_decoded(source.read(name), source.path(name)), path, len(shapes))
    others = len(source.names) - len(wanted)
    return shapes, (f"{others} members of the archive left out: they are no .roi files",) if others else ()


def encode_imagej(strokes: Sequence[Stroke], base: LabelMap | None, spec: TaskSpec) -> bytes:
    """A ROI zip: regions of the base as areas, then every stroke; a ROI's name is its class and a number.

    Args:
        strokes: on a 2-D image.
        base: ``(h, w)`` the raster under them, if there is one.
        spec: names and colours.
    """
    rois = [] if base is None else [(cls, _area(region_rings(mask), corner)) for cls, mask, corner in regions_of(base)]
    rois += [(stroke.cls, _line(stroke)) for stroke in strokes]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (cls, roi) in enumerate(rois, start=1):
            roi.name = f"{spec.classes[cls]}-{number}"
            roi.stroke_color = bytes([255, *bytes.fromhex(spec.colours[cls][1:])])
            member = zipfile.ZipInfo(f"{number:07d}.roi", (1980, 1, 1, 0, 0, 0))  # the same marks give the same bytes
            archive.writestr(member, roi.tobytes())
    return buffer.getvalue()


def _bounded(shapes: list[Drawn], where: Path, before: int = 0) -> list[Drawn]:
    if before + len(shapes) > MOST_SHAPES:
        raise too_large(where, f"at most {MOST_SHAPES:,} shapes", "more")
    return shapes


def _decoded(data: bytes, where: Path) -> list[Drawn]:
    if len(data) > MOST_BYTES:
        raise too_large(where, f"at most {MOST_BYTES:,} bytes", f"{len(data):,} bytes")
    try:
        roi = ImagejRoi.frombytes(data)
        kind = _KINDS.get(roi.roitype)
        rings = [] if kind is None or roi.subtype in _NO_MARKS else _rings(roi)
    except Exception as error:  # roifile fails in many ways: ValueError, TypeError, struct.error, IndexError …
        raise DamagedFileError(
            "the ROI cannot be decoded",
            where=where,
            expected="a complete ImageJ ROI",
            received=f"{type(error).__name__}: {error}",
            todo="save it again from ImageJ's ROI manager",
        ) from error
    if kind is None or not rings:
        raise DamagedFileError(
            "a ROI is no mark",
            where=where,
            expected="points, lines, polylines, freehand lines, polygons, rectangles or ovals",
            received=roi.subtype.name if roi.subtype in _NO_MARKS else roi.roitype.name,
            todo="remove it from the ROI manager and save the others",
        )
    _check_position(roi, where)
    what = f"ROI {roi.name!r}" if roi.name else roi.roitype.name
    shift = _CORNER if kind == "area" else 0.0
    placed = tuple(vertices(ring, where, what, shift=shift)[:, ::-1] for ring in rings)
    if kind == "point":
        return [
            Drawn("point", (one[None],), name, what=what) for one, name in zip(placed[0], _counted(roi), strict=True)
        ]
    width = roi.float_stroke_width or float(roi.stroke_width)
    stated = width if kind == "line" and np.isfinite(width) and width > 0 else None
    return [Drawn(kind, placed, roi.name or None, stated, what=what)]


def _check_position(roi: ImagejRoi, where: Path) -> None:
    if max(roi.position, roi.z_position, roi.t_position) > 1:
        raise DamagedFileError(
            "a ROI lies in a stack",
            where=where,
            expected="ROIs of a 2-D image",
            received=f"position {roi.position}, slice {roi.z_position}, frame {roi.t_position}",
            todo="mark volumes in 3D Slicer, ITK-SNAP or napari, or save each slice as an image of its own",
        )


def _rings(roi: ImagejRoi) -> list[Any]:
    """Column and row as ImageJ states them."""
    if roi.roitype == ROI_TYPE.OVAL or (roi.roitype == ROI_TYPE.RECT and not roi.composite):
        left, top, width, height = (
            (roi.xd, roi.yd, roi.widthd, roi.heightd)
            if roi.subpixelrect
            else (roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top)
        )
        if roi.roitype == ROI_TYPE.RECT:
            unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        else:
            angle = np.linspace(0, 2 * np.pi, _OVAL_VERTICES, endpoint=False)
            unit = 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return [unit * [width, height] + [left, top]]
    return list(roi.coordinates(multi=True))


def _counted(roi: ImagejRoi) -> Iterator[str | None]:
    """The name of each point: the ROI's, unless the multi-point tool counted several kinds."""
    counters = roi.counters if roi.counters is not None and len(np.unique(roi.counters)) > 1 else None
    for number in range(roi.n_coordinates):
        yield (roi.name or None) if counters is None else f"counter {counters[number]}"


def _line(stroke: Stroke) -> ImagejRoi:
    roi = ImagejRoi.frompoints(stroke.points[:, ::-1].astype(np.float32))
    roi.roitype = ROI_TYPE.POINT if len(stroke.points) == 1 else ROI_TYPE.POLYLINE
    roi.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    if stroke.width_px != 1:
        roi.float_stroke_width, roi.stroke_width = stroke.width_px, min(round(stroke.width_px), 1 << 14)
    return roi


def _area(rings: list[Floats], corner: tuple[int, int]) -> ImagejRoi:
    """A polygon, or where it has holes a composite of paths."""
    placed = [(ring + corner - _CORNER)[:, ::-1].astype(np.float32) for ring in rings]
    roi = ImagejRoi.frompoints(placed[0])
    roi.roitype, roi.options = ROI_TYPE.POLYGON, ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    if len(placed) == 1:
        return roi
    path: list[float] = []
    for ring in placed:
        for place, (x, y) in enumerate(ring.tolist()):
            path += [_LINE if place else _MOVE, x, y]
        path.append(_CLOSE)
    left, top, right, bottom = roi.left, roi.top, roi.right, roi.bottom
    roi = ImagejRoi()
    roi.roitype, roi.shape_roi_size = ROI_TYPE.RECT, len(path)
    roi.left, roi.top, roi.right, roi.bottom = left, top, right, bottom
    roi.multi_coordinates = np.array(path, dtype=np.float32)
    return roi
