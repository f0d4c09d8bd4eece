"""ImageJ's ROIs of every kind, and archives and files that must not be believed."""

import stat
import struct
import zipfile

import numpy as np
import pytest
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from pointillist.data.formats.imagej import read_imagej
from pointillist.errors import ArchiveError, DamagedFileError
from tests.data.conftest import cuts, flips, outcome


def made(kind, points=((5, 3), (9, 3), (9, 7)), **fields):
    roi = ImagejRoi.frompoints(np.array(points), name="gland")
    roi.roitype = kind
    for key, value in fields.items():
        setattr(roi, key, value)
    return roi


def box(kind, **fields):
    roi = ImagejRoi()
    roi.roitype, roi.left, roi.top, roi.right, roi.bottom, roi.name = kind, 4, 2, 8, 5, "gland"
    for key, value in fields.items():
        setattr(roi, key, value)
    return roi


@pytest.fixture
def read(tmp_path):
    def decode(roi):
        path = tmp_path / "a.roi"
        path.write_bytes(roi if isinstance(roi, bytes) else roi.tobytes())
        return read_imagej(path)[0]

    return decode


@pytest.mark.parametrize("kind", [ROI_TYPE.POLYLINE, ROI_TYPE.FREELINE])
def test_lines_keep_their_coordinates_and_width(read, kind):
    (line,) = read(made(kind, stroke_width=3))
    assert (line.kind, line.name, line.width_px) == ("line", "gland", 3)
    assert line.rings[0].tolist() == [[3, 5], [3, 9], [7, 9]]


def test_a_straight_line_is_two_vertices(read):
    roi = box(ROI_TYPE.LINE)
    roi.x1, roi.y1, roi.x2, roi.y2 = 5.25, 3.0, 9.0, 7.5
    assert read(roi)[0].rings[0].tolist() == [[3.0, 5.25], [7.5, 9.0]]


@pytest.mark.parametrize("kind", [ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED])
def test_areas_are_counted_from_corners(read, kind):
    (area,) = read(made(kind))
    assert area.kind == "area"
    assert area.rings[0].tolist() == [[2.5, 4.5], [2.5, 8.5], [6.5, 8.5]]


def test_rectangles_and_ovals(read):
    (rectangle,) = read(box(ROI_TYPE.RECT))
    assert sorted(map(tuple, rectangle.rings[0])) == [(1.5, 3.5), (1.5, 7.5), (4.5, 3.5), (4.5, 7.5)]
    (oval,) = read(box(ROI_TYPE.OVAL))
    np.testing.assert_allclose(oval.rings[0].mean(axis=0), [3, 5.5], atol=1e-9)
    np.testing.assert_allclose(np.ptp(oval.rings[0], axis=0), [3, 4], atol=1e-3)
    (fine,) = read(
        box(ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, xd=4.25, yd=2.0, widthd=1.0, heightd=2.0)
    )
    assert fine.rings[0].min(axis=0).tolist() == [1.5, 3.75]


def test_each_point_counts_and_counters_are_kinds(read):
    first, *_, last = read(made(ROI_TYPE.POINT))
    assert (first.name, first.rings[0].tolist(), last.rings[0].tolist()) == ("gland", [[3, 5]], [[7, 9]])
    roi = made(ROI_TYPE.POINT, counters=np.array([0, 2, 0], np.uint8))
    assert [one.name for one in read(roi)] == ["counter 0", "counter 2", "counter 0"]


@pytest.mark.parametrize(
    ("roi", "received"),
    [
        (made(ROI_TYPE.ANGLE), "ANGLE"),
        (box(ROI_TYPE.LINE, subtype=ROI_SUBTYPE.ARROW, x1=1, y1=1, x2=2, y2=2), "ARROW"),
        (box(ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT, text="hello"), "TEXT"),
        (made(ROI_TYPE.POINT, position=4), "position 4"),
        (box(ROI_TYPE.RECT, shape_roi_size=5, multi_coordinates=np.array([0, 1, 1, 2, 7], np.float32)), "Error"),
        (
            made(
                ROI_TYPE.POLYGON, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, subpixel_coordinates=np.full((3, 2), np.nan)
            ),
            "nan",
        ),
        (b"", "too short"),
        (b"Iout" + b"\xff" * 60, ""),
        (b"PK\x03\x04" + bytes(99), "not an ImageJ ROI"),
    ],
)
def test_what_is_no_mark_is_named(read, roi, received):
    with pytest.raises(DamagedFileError) as error:
        read(roi)
    assert received in error.value.received
    assert "a.roi" in error.value.where


def test_damage_is_refused_or_read_but_never_crashes(read):
    data = made(ROI_TYPE.POLYLINE).tobytes()
    assert outcome(read, data[:70]) is None
    for damaged in (*cuts(data, steps=60), *flips(data, masks=(0xFF,))):
        outcome(read, damaged)


def test_members_stay_in_the_managers_order(tmp_path):
    path = tmp_path / "a.zip"
    for name in ("zebra", "ant"):
        made(ROI_TYPE.POINT, points=((1, 1),), name=name).tofile(path, mode="a")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "hello")
    shapes, notes = read_imagej(path)
    assert [one.name for one in shapes] == ["zebra", "ant"]
    assert notes == ("1 members of the archive left out: they are no .roi files",)


def member(name, mode=0, data=b"Iout"):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, data


@pytest.mark.parametrize(
    ("info", "data"),
    [
        member("../a.roi"),
        member("/etc/a.roi"),
        member("C:\\a.roi"),
        member("a.roi", stat.S_IFLNK | 0o777, b"/etc/passwd"),
        member("a.roi", 0, bytes(10_000_000)),  # unpacks to more than deflate can reach
    ],
)
def test_archives_are_checked_before_a_member_is_read(tmp_path, info, data):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2 if len(data) > 99 else zipfile.ZIP_STORED) as archive:
        archive.writestr(info, data, compress_type=zipfile.ZIP_BZIP2 if len(data) > 99 else None)
    with pytest.raises(ArchiveError):
        read_imagej(path)
    path.write_bytes(b"PK" + struct.pack("<I", 7))
    with pytest.raises(DamagedFileError):
        read_imagej(path)
