"""Series of DICOM slices: where they lie, and everything that can be wrong with them."""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit

from pointillist.data.dicom import decode_series
from pointillist.errors import DamagedFileError, GeometryError, InputError, PointillistError
from tests.data.conftest import cuts, flips, outcome
from tests.data.importers.abdomen import ACROSS, DOWN, dicom

PIXELS = np.arange(4 * 3 * 5, dtype=np.uint16).reshape(4, 3, 5)  # four slices of 3 rows and 5 columns
POSITIONS = [(-10.0, 20.0, 30.0 + 7.0 * z) for z in range(4)]


def files(order=(2, 0, 3, 1), *, positions=POSITIONS, change=None, **fields):
    """The slices in any order; ``change`` gives one of them other content."""
    made = {z: dicom(PIXELS[z], positions[z], **fields) for z in order}
    return [(made[z] if change is None or z != 2 else change, Path(f"{z}.dcm")) for z in order]


def test_slices_are_stacked_by_position_and_spaced_by_the_distance_between_them():
    series = decode_series(files())
    assert series.order == (1, 3, 0, 2)
    assert series.size == (3, 5)
    assert series.image.grid.spacing_mm == (1.25, 1.5, 7.0)
    expected = np.stack([plane[::-1, ::-1].T for plane in PIXELS], axis=-1)  # columns to the left, rows to the back
    assert (series.image.array == expected).all()
    assert (series.stacked([PIXELS[z] for z in (2, 0, 3, 1)], "here").array == expected).all()


@pytest.mark.parametrize("seed", range(4))
def test_every_voxel_lies_where_simpleitk_puts_it(tmp_path, seed):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    across, down = turn[0], turn[1]
    positions = [np.array([1.0, 2.0, 3.0]) + 7.0 * z * np.cross(across, down) for z in range(4)]
    made = files(positions=positions, across=across, down=down)
    for data, path in made:
        (tmp_path / path).write_bytes(data)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    image = decode_series(made).image
    for value in (0, 7, 31, 59):
        place = np.argwhere(image.array == value)[0]
        index = np.argwhere(sitk.GetArrayFromImage(other) == value)[0][::-1]
        here = (image.grid.affine @ [*place, 1])[:3] * [-1, -1, 1]
        np.testing.assert_allclose(here, other.TransformIndexToPhysicalPoint(index.tolist()), atol=1e-4)


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"),
    [(1, 0, np.uint16), (2, -100, np.int16), (0.5, 0, np.float32), (1, 40000, np.float32)],
)
def test_stored_values_are_rescaled(slope, intercept, kind):
    image = decode_series(files(RescaleSlope=slope, RescaleIntercept=intercept)).image
    assert image.array.dtype == kind
    assert (np.sort(image.array.ravel()) == np.arange(60) * slope + intercept).all()


WRONG = {
    "one slice": ({"order": (0,)}, GeometryError, "evenly spaced"),
    "a slice is missing": ({"order": (0, 1, 3)}, GeometryError, "evenly spaced"),
    "a slice is there twice": ({"positions": [*POSITIONS[:3], POSITIONS[2]]}, GeometryError, "evenly spaced"),
    "askew": ({"positions": [(5.0 * z, 0.0, 7.0 * z) for z in range(4)]}, GeometryError, "stacked straight"),
    "zero spacing": ({"PixelSpacing": [0, 1]}, GeometryError, "spacing is impossible"),
    "no direction": ({"across": (0, 0, 0)}, GeometryError, "orientation is impossible"),
    "a sheared plane": ({"down": (0.6, 0.8, 0)}, GeometryError, "orientation is impossible"),
    "no spacing": ({"PixelSpacing": None}, DamagedFileError, "PixelSpacing"),
    "no position": ({"ImagePositionPatient": None}, DamagedFileError, "ImagePositionPatient"),
    "no pixels": ({"PixelData": None}, DamagedFileError, "cannot be read"),
    "inverted": ({"PhotometricInterpretation": "MONOCHROME1"}, DamagedFileError, "MONOCHROME1"),
    "a film": ({"NumberOfFrames": 3, "Rows": 1}, DamagedFileError, "no single grey image"),
    "infinite": ({"RescaleSlope": 1e999}, DamagedFileError, "cannot be read"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_makes_no_volume_is_refused(kind):
    changes, error, message = WRONG[kind]
    with pytest.raises(PointillistError, match=message) as caught:
        decode_series(files(**changes))
    assert type(caught.value) is error
    assert all((caught.value.where, caught.value.expected, caught.value.received, caught.value.todo))


STRANGERS = {
    "size": (dicom(PIXELS[2].T, POSITIONS[2]), "differ in their size"),
    "spacing": (dicom(PIXELS[2], POSITIONS[2], PixelSpacing=[1.5, 1.3]), "differ in their spacing"),
    "rows": (dicom(PIXELS[2], POSITIONS[2], across=(0.8, 0, 0.6)), "differ in their direction"),
    "columns": (dicom(PIXELS[2], POSITIONS[2], across=ACROSS, down=-np.array(DOWN)), "differ in their direction"),
    "empty": (b"", "cannot be read"),
    "text": (b"this is a text", "cannot be read"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_slice_that_does_not_belong_is_named(kind):
    content, message = STRANGERS[kind]
    with pytest.raises(PointillistError, match=message) as caught:
        decode_series(files(change=content))
    assert "2.dcm" in caught.value.where


@pytest.mark.parametrize(
    ("syntax", "received"),
    [(DeflatedExplicitVRLittleEndian, "the whole file is deflated"), (JPEGBaseline8Bit, "pixels are stored as JPEG")],
)
def test_compressed_files_are_refused(syntax, received):
    sound = dicom(PIXELS[2], POSITIONS[2])
    plain = b"1.2.840.10008.1.2.1\x00"
    assert sound.count(plain) == 1
    content = sound.replace(plain, syntax.encode() + b"\x00" * (len(syntax) % 2))
    length = len(syntax) + len(syntax) % 2
    place = content.index(syntax.encode())
    content = content[: place - 2] + length.to_bytes(2, "little") + content[place:]
    with pytest.raises(DamagedFileError, match="cannot be read") as caught:
        decode_series(files(change=content))
    assert received in caught.value.received
    assert "decompressed" in caught.value.todo


def test_no_cut_is_read_and_no_changed_byte_ends_in_a_traceback():
    others, sound = files((0, 1, 3)), dicom(PIXELS[2], POSITIONS[2])

    def decode(data):
        return decode_series([*others, (data, Path("2.dcm"))])

    assert outcome(decode, sound) is not None
    assert [len(short) for short in cuts(sound, steps=20) if outcome(decode, short) is not None] == []
    for changed in islice(flips(sound, masks=(0x41,)), 0, None, 5):
        outcome(decode, changed)


def test_without_pydicom_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydicom", None)
    made = [(b"anything", Path("a.dcm"))]
    with pytest.raises(InputError, match="one more package") as caught:
        decode_series(made)
    assert caught.value.todo == "pip install 'pointillist[dicom]'"
