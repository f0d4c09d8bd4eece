"""NRRD label maps as SimpleITK and 3D Slicer write them, and damaged ones."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from pointillist.data.formats.nrrd import decode_nrrd
from pointillist.data.nifti import native_order
from pointillist.errors import DamagedFileError, GeometryError, PointillistError
from tests.data.conftest import cuts, flips, outcome

WHERE = Path("a.nrrd")
LABELS = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)

# the header of a segmentation as 3D Slicer 5 writes it
SLICER = """NRRD0005
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned char
dimension: 3
space: left-posterior-superior
sizes: 4 5 6
space directions: (1.5,0,0) (0,2,0) (0,0,8)
kinds: domain domain domain
encoding: raw
space origin: (-10,-20,30)
Segment0_Color:=0.5 0.2 0.3
Segment0_ID:=Segment_1
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Name:=Tumör: left
Segment0_Tags:=Segmentation.Status:inprogress|TerminologyEntry:a~b^c
"""


def slicer(text=SLICER, data=None):
    return text.encode() + b"\n" + (LABELS.tobytes(order="F") if data is None else data)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_what_simpleitk_writes_is_read_as_simpleitk_reads_it(tmp_path, compress, kind):
    image = SimpleITK.GetImageFromArray(LABELS.astype(kind))
    image.SetSpacing((1.5, 2.0, 8.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection((0, 0, -1, 1, 0, 0, 0, -1, 0))
    path = tmp_path / "a.nrrd"
    SimpleITK.WriteImage(image, str(path), compress)
    read, names = decode_nrrd(path.read_bytes(), path)
    native, affine = native_order(read.array, read.grid)
    assert names == {}
    assert (native == LABELS.transpose(2, 1, 0)).all()
    for index in ((0, 0, 0), (1, 2, 3), (5, 4, 3)):
        lps = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((affine @ [*index, 1])[:3], np.array(lps) * [-1, -1, 1], atol=1e-6)


def test_slicers_names_are_read():
    read, names = decode_nrrd(slicer(), WHERE)
    assert names == {1: "Tumör: left"}
    assert (native_order(read.array, read.grid)[0] == LABELS).all()
    assert decode_nrrd(slicer().replace(b"\n\n", b"\r\n\r\n", 1), WHERE)[1] == names


@pytest.mark.parametrize(
    ("data", "kind", "received"),
    [
        (b"", DamagedFileError, "0 bytes"),
        (b"NRRD0005\n", DamagedFileError, "9 bytes"),
        (
            slicer(SLICER.replace("encoding: raw", "encoding: raw\ndata file: /etc/passwd")),
            DamagedFileError,
            "another file",
        ),
        (slicer(SLICER.replace("encoding: raw", "encoding: raw\nbyte skip: -1")), DamagedFileError, "skip"),
        (slicer(SLICER.replace("encoding: raw", "encoding: hex")), DamagedFileError, "hex"),
        (slicer(SLICER.replace("unsigned char", "double")), DamagedFileError, "double"),
        (slicer(SLICER.replace("unsigned char", "signed char"), b"\xff" * 120), DamagedFileError, "values -1"),
        (slicer(data=bytes(119)), DamagedFileError, "119 bytes"),
        (slicer(data=bytes(121)), DamagedFileError, "121 bytes"),
        (slicer(SLICER.replace("4 5 6", "40000 50000 60000")), DamagedFileError, "40000"),
        (
            slicer(SLICER.replace("sizes: 4 5 6", "sizes: 2 4 5 6").replace("dimension: 3", "dimension: 4")),
            GeometryError,
            "layers",
        ),
        (slicer(SLICER.replace("sizes: 4 5 6", "sizes: 4 0 6")), GeometryError, "[4, 0, 6]"),
        (slicer(SLICER.replace("space: left-posterior-superior\n", "")), GeometryError, "no space"),
        (slicer(SLICER.replace("(0,2,0)", "(1,2,0)")), GeometryError, ""),
        (slicer(SLICER.replace("(0,2,0)", "(0,0,0)")), GeometryError, ""),
        (slicer(SLICER.replace("(0,2,0)", "(0,nan,0)")), GeometryError, ""),
        (slicer(SLICER.replace("(0,2,0)", "none")), GeometryError, ""),
        (slicer(SLICER.replace("LabelValue:=1", "LabelValue:=one")), DamagedFileError, "one"),
    ],
)
def test_what_is_no_label_map_is_named(data, kind, received):
    with pytest.raises(kind) as error:
        decode_nrrd(data, WHERE)
    assert received in error.value.received
    assert error.value.where.startswith("a.nrrd")


def test_damage_is_refused_or_read_but_never_crashes(tmp_path):
    path = tmp_path / "a.nrrd"
    image = SimpleITK.GetImageFromArray(LABELS)
    SimpleITK.WriteImage(image, str(path), True)
    data = path.read_bytes()
    start = data.index(b"\n\n") + 2
    for cut in cuts(data, steps=100):
        assert outcome(lambda damaged: decode_nrrd(damaged, path), cut) is None
    for damaged in flips(data[start:], masks=(0x10,)):
        read = outcome(lambda changed: decode_nrrd(data[:start] + changed, path), damaged)
        if read is not None:  # a byte of gzip's header that says nothing
            assert (native_order(read[0].array, read[0].grid)[0] == LABELS.transpose(2, 1, 0)).all()
    for damaged in flips(data[:start], masks=(0x01, 0x80)):
        try:
            decode_nrrd(damaged + data[start:], path)
        except PointillistError:
            continue
