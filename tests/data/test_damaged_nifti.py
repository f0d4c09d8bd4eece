"""NIfTI files that are damaged, that contradict themselves, or that only look as if they did."""

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pointillist.data.compressed import MAX_DECODED_BYTES, gunzip, read_bytes
from pointillist.data.readers import decode_image, decode_label, read_image
from pointillist.errors import DamagedFileError, GeometryError, LabelError
from tests.data.conftest import SPACING, VOLUME, cuts, flips, nifti_bytes, outcome

NII, GZ = Path("case.nii"), Path("case.nii.gz")
SOUND = nifti_bytes()
ZIPPED = gzip.compress(SOUND, mtime=0)


def zipped(data):
    return decode_image(data, GZ)


def plain(data):
    return decode_image(data, NII)


def is_the_volume(image):
    return np.array_equal(image.array, VOLUME) and image.grid.spacing_mm == SPACING


@pytest.mark.parametrize(("decode", "data"), [(zipped, ZIPPED), (plain, SOUND)])
def test_a_file_cut_anywhere_is_refused(decode, data):
    for cut in cuts(data):
        assert outcome(decode, cut) is None


def test_a_changed_byte_anywhere_in_a_compressed_file_is_refused_or_without_effect():
    survivors = [image for data in flips(ZIPPED) if (image := outcome(zipped, data))]
    assert all(is_the_volume(image) for image in survivors)
    assert len(survivors) < 4 * 10  # only gzip's own header has bytes without meaning: time, system, level


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", "<>")
def test_a_changed_byte_anywhere_in_a_header_never_crashes(kind, order):
    data = nifti_bytes(kind=kind, order=order)
    header = kind.header_class().sizeof_hdr
    refused = 0
    for changed in flips(data[:header], masks=(0x01, 0x80, 0xFF)):
        image = outcome(plain, changed + data[header:])
        refused += image is None
        assert image is None or (np.isfinite(image.grid.affine).all() and min(image.grid.spacing_mm) > 0)
    assert refused > 100


def test_a_changed_byte_in_an_extension_is_without_effect():
    image = nib.Nifti1Image(VOLUME, np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"who, when"))
    data = image.to_bytes()
    start = len(data) - VOLUME.nbytes
    assert start > 352
    for place in range(348, start):
        assert np.array_equal(plain(data[:place] + b"\xff" + data[place + 1 :]).array, VOLUME)


class TestGzip:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (ZIPPED[:-8], "cut off"),
            (ZIPPED[:-8] + bytes(4) + ZIPPED[-4:], "corrupt"),  # CRC zeroed
            (ZIPPED[:-4] + bytes(4), "corrupt"),  # length zeroed
            (ZIPPED + b"something else", "corrupt"),
            (ZIPPED + ZIPPED[:40], "cut off"),
            (ZIPPED + ZIPPED, "size"),
            (SOUND, "corrupt"),
            (bytes(100), "corrupt"),
            (b"", "empty"),
            (gzip.compress(b"", mtime=0), "not a NIfTI"),
            (gzip.compress(bytes(352), mtime=0), "not a NIfTI"),
        ],
    )
    def test_what_is_not_one_sound_stream_is_refused(self, data, message):
        with pytest.raises(DamagedFileError, match=message) as refused:
            zipped(data)
        assert refused.value.todo
        assert refused.value.where == "case.nii.gz"

    @pytest.mark.parametrize("padding", [1, 512, 10_000])
    def test_zeros_after_the_stream_are_padding(self, padding):
        assert is_the_volume(zipped(ZIPPED + bytes(padding)))

    def test_a_stream_in_several_members_is_one_file(self):
        parts = [gzip.compress(SOUND[i : i + 100]) for i in range(0, len(SOUND), 100)]
        assert is_the_volume(zipped(b"".join(parts) + bytes(7)))

    def test_streams_longer_than_a_read(self):
        data = np.random.default_rng(0).bytes(3 << 20)
        assert gunzip(gzip.compress(data, 1) + gzip.compress(b"x" * (5 << 20)), where=GZ) == data + b"x" * (5 << 20)

    def test_a_bomb_is_stopped_at_its_limit(self):
        bomb = gzip.compress(bytes(50_000_000))
        with pytest.raises(DamagedFileError, match="more than it may hold"):
            gunzip(bomb, where=GZ, limit=1_000_000)
        assert len(gunzip(bomb, where=GZ, limit=50_000_000)) == 50_000_000

    def test_many_members_take_no_longer_than_one(self):
        member = zlib.compressobj(1, zlib.DEFLATED, 31)
        one = member.compress(b"") + member.flush()
        assert gunzip(one * 50_000, where=GZ) == b""  # copying what is left after each would take many seconds


class TestFiles:
    def test_a_link_that_leads_nowhere(self, tmp_path):
        (tmp_path / "a.nii").symlink_to(tmp_path / "gone.nii")
        with pytest.raises(DamagedFileError, match="leads nowhere"):
            read_image(tmp_path / "a.nii")

    def test_links_in_a_loop(self, tmp_path):
        (tmp_path / "a.nii").symlink_to(tmp_path / "b.nii")
        (tmp_path / "b.nii").symlink_to(tmp_path / "a.nii")
        with pytest.raises(DamagedFileError, match="leads nowhere"):
            read_image(tmp_path / "a.nii")

    def test_a_link_to_a_file_is_followed(self, tmp_path):
        (tmp_path / "real.nii").write_bytes(SOUND)
        (tmp_path / "a.nii").symlink_to(tmp_path / "real.nii")
        assert is_the_volume(read_image(tmp_path / "a.nii"))

    def test_what_is_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.nii")
        for name, received in (("", "a folder"), ("gone.nii", "nothing"), ("pipe.nii", "a device or pipe")):
            with pytest.raises(DamagedFileError, match="no such file") as refused:
                read_bytes(tmp_path / name)
            assert refused.value.received == received

    def test_a_file_too_large_is_not_read_into_memory(self, tmp_path):
        with (tmp_path / "a.nii").open("wb") as file:
            file.truncate(MAX_DECODED_BYTES + 1)  # sparse: takes no room on the disk
        with pytest.raises(DamagedFileError, match="larger than an image may be"):
            read_bytes(tmp_path / "a.nii")

    def test_an_empty_file(self, tmp_path):
        for name in ("a.nii", "a.nii.gz", "a.png", "a.tif"):
            (tmp_path / name).touch()
            with pytest.raises(DamagedFileError, match="empty"):
                read_image(tmp_path / name)

    @pytest.mark.parametrize("name", ["case.mha", "case", "case.nii.bz2", "case.gz"])
    def test_a_kind_that_is_not_read(self, name):
        with pytest.raises(DamagedFileError, match="kind of file"):
            decode_image(SOUND, Path(name))


def oblique(shear=0.0):
    rotation = nib.eulerangles.euler2mat(0.3, -0.2, 0.5)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]]) * SPACING
    return affine


REFUSED_HEADERS = [
    ({"pixdim": {1: 0}}, "spacing is impossible"),
    ({"pixdim": {2: -2}}, "spacing is impossible"),
    ({"pixdim": {3: np.nan}}, "spacing is impossible"),
    ({"pixdim": {3: np.inf}}, "spacing is impossible"),
    ({"kind": nib.Nifti2Image, "pixdim": {3: 1e200}}, "spacing is impossible"),
    ({"kind": nib.Nifti2Image, "srow_x": {0: 1e200}}, "singular"),
    ({"kind": nib.Nifti2Image, "srow_x": {3: 1e300}}, "singular"),
    ({"pixdim": {3: 10}}, "contradicts itself"),
    ({"srow_x": 0}, "singular"),
    ({"srow_x": {0: np.nan}}, "singular"),
    ({"srow_y": {3: np.inf}}, "singular"),
    ({"sform": 0, "quatern_b": 5}, "singular"),
    ({"sform": 0, "quatern_b": np.nan}, "singular"),
    ({"sform": 0, "qoffset_x": np.nan}, "singular"),
    ({"affine": oblique(0.1), "qform": 0}, "not perpendicular"),
    ({"dim": {0: 0}}, "impossible shape"),
    ({"dim": {0: 8}}, "impossible shape"),
    ({"dim": {1: 0}}, "impossible shape"),
    ({"dim": {1: -5}}, "impossible shape"),
    ({"dim": {1: 4}}, "size that the header states"),
    ({"dim": {1: 32767, 2: 32767, 3: 32767}}, "size that the header states"),
    ({"datatype": 8}, "size that the header states"),  # int32: as large again
    ({"datatype": 0}, "of a kind that is not read"),
    ({"datatype": 5}, "of a kind that is not read"),  # no such code
    ({"datatype": 32}, "of a kind that is not read"),  # complex
    ({"datatype": 128}, "of a kind that is not read"),  # RGB
    ({"vox_offset": 360}, "size that the header states"),
    ({"vox_offset": 1e30}, "size that the header states"),
    ({"magic": b"ni1"}, "not a NIfTI file"),  # the header of a pair of files
    ({"magic": b""}, "not a NIfTI file"),  # Analyze
    ({"sizeof_hdr": 0}, "not a NIfTI file"),
    ({"sizeof_hdr": 540}, "not a NIfTI file"),
    ({"scl_slope": np.inf, "scl_inter": 0}, "impossible scaling"),
    ({"scl_slope": 2, "scl_inter": np.nan}, "impossible scaling"),
    ({"array": VOLUME.astype(np.float32) * np.nan}, "not numbers"),
    ({"array": np.full((5, 6, 7), -np.inf)}, "not numbers"),
    ({"array": np.full((5, 6, 7), 1e300), "scl_slope": 1e30, "scl_inter": 0}, "not numbers"),  # overflows
    ({"array": np.stack([VOLUME, VOLUME], -1)}, "not hold one volume"),
    ({"array": VOLUME[:, :, None, None, :3]}, "not hold one volume"),  # vectors
]


@pytest.mark.parametrize(("fields", "message"), REFUSED_HEADERS, ids=lambda value: str(value)[:60])
def test_a_header_that_cannot_be_is_refused_by_name(fields, message):
    with pytest.raises((DamagedFileError, GeometryError), match=message) as refused:
        plain(nifti_bytes(**fields))
    assert refused.value.where.startswith("case.nii")
    assert refused.value.expected
    assert refused.value.received
    assert refused.value.todo


READ_BY_A_RULE = [
    ({"pixdim": {0: 0}, "sform": 0}, "qfac", SPACING),
    ({"pixdim": {0: 7}, "sform": 0}, "qfac", SPACING),
    ({"sform": 0, "qform": 0}, "no-orientation", SPACING),
    ({"affine": np.eye(4), "qform": 0, "pixdim": {1: 1.5, 2: 2, 3: 8}}, "unit-columns", SPACING),
    ({"affine": oblique(0.005), "qform": 0}, "small-shear", SPACING),
    ({"qoffset_x": 30}, "sform-over-qform", SPACING),
    ({"quatern_d": 0.2}, "sform-over-qform", SPACING),
    ({"quatern_d": 20}, "sform-over-qform", SPACING),  # no rotation at all
    ({"xyzt_units": 1}, "units", (1500, 2000, 8000)),
    ({"xyzt_units": 3}, "units", (0.0015, 0.002, 0.008)),
    ({"xyzt_units": 5}, "units", SPACING),
    ({"array": VOLUME[..., None]}, "trailing-axis", SPACING),
    ({"array": VOLUME[..., None, None, None]}, "trailing-axis", SPACING),
]
WITHOUT_A_NOTE = [
    {},
    {"order": ">"},
    {"kind": nib.Nifti2Image},
    {"kind": nib.Nifti2Image, "order": ">"},
    {"vox_offset": 0},
    {"vox_offset": np.nan},
    {"xyzt_units": 2 | 8},  # millimetres and seconds
    {"scl_slope": 1, "scl_inter": 0},
    {"scl_slope": 0, "scl_inter": 5},  # a slope of 0: none
    {"scl_slope": np.nan, "scl_inter": np.nan},
    {"sform": 0},
    {"qform": 0},
    {"sform": 4, "qform": 1},
    {"sform": 0, "pixdim": {0: -1}, "affine": np.diag([1.5, 2, -8, 1])},
    {"cal_max": 3, "descrip": b"\xff" * 79, "intent_code": 1007, "bitpix": 3},
]


@pytest.mark.parametrize(("fields", "rule", "spacing"), READ_BY_A_RULE)
def test_a_repair_is_a_named_rule(fields, rule, spacing):
    image = plain(nifti_bytes(**fields))
    assert [note.split(":")[0] for note in image.notes] == [rule]
    assert np.allclose(image.grid.spacing_mm, spacing, rtol=1e-4)
    assert np.array_equal(np.sort(image.array, axis=None), np.sort(VOLUME, axis=None))


@pytest.mark.parametrize("fields", WITHOUT_A_NOTE, ids=str)
def test_a_legitimate_header_is_no_false_alarm(fields):
    image = plain(nifti_bytes(**fields))
    assert image.notes == ()
    assert image.array.dtype == np.int16
    assert np.allclose(image.grid.spacing_mm, SPACING)
    expected = VOLUME[:, :, ::-1] if "affine" in fields else VOLUME
    assert np.array_equal(image.array, expected)


@pytest.mark.parametrize("thickness", [0, -1, np.nan, 5])
@pytest.mark.parametrize("forms", [(1, 0), (0, 1), (0, 0), (1, 1)])
def test_a_2d_file_needs_no_third_spacing(thickness, forms):
    flat = np.ascontiguousarray(VOLUME[:, :, 0])
    image = plain(nifti_bytes(flat, sform=forms[0], qform=forms[1], pixdim={3: thickness}))
    assert image.array.shape == (5, 6, 1)
    assert np.allclose(image.grid.spacing_mm[:2], SPACING[:2])
    assert image.grid.spacing_mm[2] > 0


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1e3])
def test_spacing_of_any_scale_is_possible(size):
    assert np.allclose(plain(nifti_bytes(affine=np.diag([size, size, size, 1]))).grid.spacing_mm, size)


def test_zeros_after_the_data_are_padding_and_anything_else_is_refused():
    image = plain(SOUND + bytes(512))
    assert image.notes == ("padding: 512 zeros after the data were left aside",)
    assert is_the_volume(image)
    for tail in (bytes(4097), b"x", bytes(9) + b"x"):
        with pytest.raises(DamagedFileError, match="size that the header states"):
            plain(SOUND + tail)


class TestContradictions:
    data = nifti_bytes(affine=np.diag([3, 3, 3, 1.0]), qform=0, pixdim={1: 1.5, 2: 2, 3: 8})

    @pytest.mark.parametrize(("rule", "spacing"), [("pixdim", SPACING), ("affine", (3, 3, 3))])
    def test_the_user_may_say_which_side_is_right(self, rule, spacing):
        image = decode_image(self.data, NII, header_rule=rule)
        assert image.grid.spacing_mm == spacing
        assert image.notes[0].startswith(f"header-rule {rule}: ")

    def test_until_then_the_file_is_refused(self):
        with pytest.raises(GeometryError, match="contradicts itself") as refused:
            plain(self.data)
        assert "--header-rule" in refused.value.todo


class TestLabels:
    def test_fractions_are_refused(self):
        with pytest.raises(LabelError, match="fractions"):
            decode_label(nifti_bytes(VOLUME + 0.5), NII)

    def test_scaling_that_makes_fractions_is_refused(self):
        with pytest.raises(LabelError, match="fractions"):
            decode_label(nifti_bytes(scl_slope=0.3, scl_inter=0), NII)

    def test_whole_real_numbers_are_said(self):
        labels = decode_label(nifti_bytes(abs(VOLUME).astype(np.float32)), NII)
        assert labels.array.dtype == np.uint8
        assert [note.split(":")[0] for note in labels.notes] == ["whole-floats"]

    @pytest.mark.parametrize("value", [2**31, 2**40, -(2**31) - 1])
    def test_values_beyond_32_bits_are_refused(self, value):
        with pytest.raises(LabelError, match="32 bits"):
            decode_label(nifti_bytes(np.full((2, 2, 2), value, np.int64)), NII)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [(0, np.uint8), (255, np.uint8), (256, np.int32), (-1, np.int32), (2**31 - 1, np.int32), (-(2**31), np.int32)],
    )
    def test_the_smallest_type_that_holds_them(self, value, kind):
        labels = decode_label(nifti_bytes(np.full((2, 2, 2), value, np.int64)), NII)
        assert labels.array.dtype == kind
        assert (labels.array == value).all()
