"""What is written is read back, what other tools write is read as they read it, and no legitimate file is refused."""

import gzip
import io
import itertools
import struct
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Pillow
from PIL import ImageOps, PngImagePlugin

from pointillist.data.flat import encode_flat
from pointillist.data.image import Grid, Image, same_grid
from pointillist.data.nifti import decode_nifti, encode_nifti
from pointillist.data.readers import decode_image, decode_label, read_image, read_label, split_ending
from pointillist.data.writers import write_image, write_label
from pointillist.errors import GeometryError
from tests.data.conftest import PICTURE, SPACING, VOLUME, nifti_bytes, png_chunk, raw_png, saved, tiff

NII = Path("case.nii")
GREY = PICTURE[..., 0]
INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
VOLUME_TYPES = (*INTEGERS, "f4", "f8")
TURNS = [
    nib.orientations.inv_ornt_aff(np.column_stack([axes, signs]), (1, 1, 1))[:3, :3]
    for axes in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def arrays(types, shape):
    finite = {"allow_nan": False, "allow_infinity": False, "allow_subnormal": False}

    def of(kind):
        return hnp.arrays(kind, shape, elements=finite if np.dtype(kind).kind == "f" else None)

    return st.sampled_from(types).map(np.dtype).flatmap(of)


shapes = st.tuples(*[st.integers(1, 6)] * 3)
lengths = st.floats(0.01, 50)
angles = st.floats(-3, 3)


@st.composite
def affines(draw):
    """Any position of a rectangular grid: oblique, mirrored, anisotropic."""
    rotation = nib.eulerangles.euler2mat(draw(angles), draw(angles), draw(angles))
    affine = np.eye(4)
    affine[:3, :3] = rotation @ draw(st.sampled_from(TURNS)) * [draw(lengths) for _ in range(3)]
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return affine


@settings(max_examples=150)
@given(
    array=arrays(VOLUME_TYPES, shapes),
    affine=affines(),
    kind=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
    order=st.sampled_from("<>"),
    forms=st.sampled_from([(1, 0), (0, 1), (2, 2)]),
    compress=st.booleans(),
    trailing=st.integers(0, 4),
)
def test_a_volume_is_read_as_nibabel_reads_it_and_written_back_as_it_was(
    array, affine, kind, order, forms, compress, trailing
):
    native = array.reshape(array.shape + (1,) * trailing)
    data = nifti_bytes(native, affine, kind=kind, order=order, sform=forms[0], qform=forms[1])
    theirs = nib.as_closest_canonical(kind.from_bytes(data))
    image = decode_image(gzip.compress(data) if compress else data, Path("a.nii.gz" if compress else "a.nii"))
    assert image.array.dtype == array.dtype
    assert image.array.dtype.isnative
    assert np.array_equal(image.array, np.asarray(theirs.dataobj).reshape(theirs.shape[:3]))
    assert np.allclose(image.grid.affine, theirs.affine, rtol=1e-4, atol=1e-3)
    assert np.allclose(image.grid.spacing_mm, theirs.header.get_zooms()[:3], rtol=1e-4)

    written = encode_nifti(image.array, image.grid, compress=compress)
    back = decode_nifti(written, Path("b.nii.gz" if compress else "b.nii"))
    assert back.notes == ()
    assert back.array.dtype == array.dtype
    assert np.array_equal(back.array, image.array)
    assert same_grid(image, back) == ()

    ours = nib.Nifti1Image.from_bytes(gzip.decompress(written) if compress else written)
    assert np.array_equal(np.asarray(ours.dataobj), array)  # in the order of the file it came from
    assert np.allclose(ours.get_sform(), affine, rtol=1e-4, atol=1e-3)
    assert np.allclose(ours.get_qform(), affine, rtol=1e-3, atol=2e-2)
    assert np.allclose(ours.header.get_zooms(), np.linalg.norm(affine[:3, :3], axis=0), rtol=1e-4)
    assert ours.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: "".join(nib.aff2axcodes(np.pad(turn, (0, 1)))))
def test_every_axis_order_and_flip_becomes_canonical_and_is_undone(turn, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = (10, -20, 30)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti_bytes(affine=affine)))
    image = read_image(path)
    assert nib.aff2axcodes(image.grid.affine) == ("R", "A", "S")
    for index in np.ndindex(image.array.shape):  # every voxel keeps its place in the patient
        place = image.grid.affine @ [*index, 1]
        native = np.rint(np.linalg.inv(affine) @ place)[:3].astype(int)
        assert image.array[index] == VOLUME[tuple(native)]
    write_image(tmp_path / "b.nii.gz", image.array, image.grid)
    before, after = (sitk.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", "b.nii.gz"))
    assert np.array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
    for property_of in (sitk.Image.GetSpacing, sitk.Image.GetOrigin, sitk.Image.GetDirection):
        assert np.allclose(property_of(before), property_of(after), atol=1e-5)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
def test_simpleitk_reads_the_same_voxels_and_spacing(tmp_path, ending, kind):
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(0.2, 0.1, -0.4) * (0.7, 1.3, 6.5)
    image = decode_image(nifti_bytes(abs(VOLUME).astype(kind), affine), NII)
    write_image(tmp_path / f"a{ending}", image.array, image.grid)
    theirs = sitk.ReadImage(str(tmp_path / f"a{ending}"))
    assert np.allclose(theirs.GetSpacing(), (0.7, 1.3, 6.5), rtol=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(theirs).T, abs(VOLUME).astype(kind))


def test_what_simpleitk_writes_is_read_without_a_note(tmp_path):
    volume = sitk.GetImageFromArray(VOLUME)
    volume.SetSpacing((1.5, 1.5, 8.0))
    volume.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    sitk.WriteImage(volume, str(tmp_path / "a.nii.gz"))
    image = read_image(tmp_path / "a.nii.gz")
    assert image.notes == ()
    assert sorted(image.grid.spacing_mm) == [1.5, 1.5, 8.0]


@given(
    array=arrays(INTEGERS, (2, 3, 2)),
    slope=st.floats(-100, 100, width=32, allow_subnormal=False).filter(lambda x: abs(x) > 1e-3),
    intercept=st.floats(-1000, 1000, width=32),
)
def test_scaled_values_are_the_ones_nibabel_reads(array, slope, intercept):
    data = nifti_bytes(array, scl_slope=slope, scl_inter=intercept)
    image = decode_image(data, NII)
    theirs = np.asarray(nib.Nifti1Image.from_bytes(data).dataobj, dtype=np.float64)
    assert np.allclose(image.array, theirs, rtol=1e-12)
    if (slope, intercept) != (1, 0):
        assert image.array.dtype == np.float64


FLAT_TYPES = {
    ".png": ("u1", "u2"),
    ".bmp": ("u1",),
    ".tif": (*INTEGERS, "f2", "f4", "f8"),
}


@pytest.mark.parametrize("ending", FLAT_TYPES)
@settings(max_examples=60)
@given(data=st.data())
def test_a_flat_image_is_read_back_as_it_was_written(ending, data):
    side = st.integers(1, 20)
    shape = data.draw(st.tuples(side, side) | st.tuples(side, side, st.just(3)))
    array = data.draw(arrays(FLAT_TYPES[ending], shape))
    image = decode_image(encode_flat(array, ending), Path(f"a{ending}"))
    assert image.notes == ()
    assert image.array.dtype == array.dtype
    assert np.array_equal(image.array, array)
    assert image.grid.shape == shape[:2]
    assert image.grid.spacing_mm is None
    assert image.channels == (3 if len(shape) == 3 else 1)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".png", ".tif"])
@pytest.mark.parametrize("highest", [0, 3, 255, 256, 40_000])
def test_labels_are_read_back_as_they_were_written(tmp_path, ending, highest):
    labels = np.zeros((5, 6, 7) if ending.startswith(".nii") else (5, 6), np.int32)
    labels[0, 0], labels[-1, -1] = highest, highest // 2
    grid = decode_image(nifti_bytes(), NII).grid if ending.startswith(".nii") else Grid(labels.shape)
    write_label(tmp_path / f"a{ending}", labels, grid)
    back = read_label(tmp_path / f"a{ending}")
    assert back.notes == ()
    assert back.array.dtype == (np.uint8 if highest < 256 else np.int32)
    assert np.array_equal(back.array, labels)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("patient001_frame01.nii.gz", ("patient001_frame01", ".nii.gz")),
        ("A.NII.GZ", ("A", ".nii.gz")),
        ("a.b.TIFF", ("a.b", ".tiff")),
        ("a.tif", ("a", ".tif")),
        ("a.gz", ("a.gz", "")),
        (".png", ("", ".png")),
        ("png", ("png", "")),
    ],
)
def test_endings(name, parts):
    assert split_ending(Path("folder.nii") / name) == parts


def rules(image):
    return [note.split(":")[0] for note in image.notes]


def interlaced(array) -> bytes:
    """Adam7: seven passes, each a coarser grid of the picture, unfiltered; 16 bits big-endian."""
    rows = b""
    for y, x, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = array[y::dy, x::dx]
        if part.size:
            rows += b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in part)
    colour_type = 2 if array.ndim == 3 else 0
    return raw_png(array.shape[1], array.shape[0], array.itemsize * 8, colour_type, rows, interlace=1)


class TestPng:
    @pytest.mark.parametrize("array", [GREY, PICTURE, GREY.astype(np.uint16) * 257, PICTURE.astype(np.uint16) * 255])
    def test_interlaced(self, array):
        image = decode_image(interlaced(array), Path("a.png"))
        assert image.array.dtype == array.dtype
        assert np.array_equal(image.array, array)

    @pytest.mark.parametrize("depth", [8, 16])
    @pytest.mark.parametrize(
        "chunk",
        [
            png_chunk(b"gAMA", struct.pack(">I", 22_000)),
            png_chunk(b"sRGB", b"\0"),
            png_chunk(b"cHRM", struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000])),
            png_chunk(b"pHYs", struct.pack(">IIB", 100, 300, 1)),
            png_chunk(b"tEXt", b"Title\0slide"),
            png_chunk(b"sBIT", b"\5\5\5"),
            png_chunk(b"prVt", b"private"),
            png_chunk(b"bKGD", struct.pack(">3H", 9, 9, 9)),
        ],
        ids=lambda chunk: chunk[4:8].decode(),
    )
    def test_values_are_as_stored_whatever_is_said_about_their_display(self, depth, chunk):
        array = PICTURE if depth == 8 else PICTURE.astype(np.uint16) * 255
        rows = b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)
        image = decode_image(raw_png(13, 9, depth, 2, rows, before=chunk), Path("a.png"))
        assert np.array_equal(image.array, array)
        assert image.notes == ()

    def test_a_colour_profile_is_no_reason_to_change_or_refuse(self):
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        for kind in ("PNG", "JPEG", "TIFF"):
            with_profile, without = saved(PICTURE, kind, icc_profile=profile), saved(PICTURE, kind)
            path = Path(f"a.{kind[:4].lower()}")
            assert np.array_equal(decode_image(with_profile, path).array, decode_image(without, path).array)

    @pytest.mark.parametrize("kind", ["LA", "RGBA"])
    @pytest.mark.parametrize("deep", [False, True])
    def test_alpha_is_dropped_and_said(self, kind, deep):
        import imagecodecs

        colour = GREY[..., None] if kind == "LA" else PICTURE
        array = np.dstack([colour, np.full_like(GREY, 255)])
        array[0, 0, -1] = 7
        if deep:
            array = array.astype(np.uint16) * 257
        image = decode_image(bytes(imagecodecs.png_encode(array)), Path("a.png"))
        assert np.array_equal(image.array, array[..., 0] if kind == "LA" else array[..., :3])
        assert image.notes == ("alpha: channel dropped (1 of 117 pixels were not opaque)",)

    def test_a_transparent_colour_is_alpha_too(self):
        data = saved(PICTURE, "PNG", transparency=tuple(int(v) for v in PICTURE[0, 0]))
        image = decode_image(data, Path("a.png"))
        assert np.array_equal(image.array, PICTURE)
        assert rules(image) == ["alpha"]

    @pytest.mark.parametrize(("depth", "stretch"), [(1, 255), (2, 85), (4, 17)])
    def test_few_bits_are_stretched_in_images_and_kept_in_labels(self, depth, stretch):
        values = np.arange(16).reshape(2, 8) % 2**depth
        bits = np.unpackbits(values[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :].reshape(2, -1)
        data = raw_png(8, 2, depth, 0, b"".join(b"\0" + np.packbits(row).tobytes() for row in bits))
        image, labels = decode_image(data, Path("a.png")), decode_label(data, Path("a.png"))
        assert np.array_equal(image.array, values * stretch)
        assert np.array_equal(labels.array, values)
        assert rules(image) == rules(labels) == ["few-bits"]


def indexed(indices, palette, kind, **options) -> bytes:
    image = Pillow.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(np.pad(palette, ((0, 256 - len(palette)), (0, 0))).astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


class TestPalettes:
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 150, 0], [9, 9, 255]], np.uint8)
    indices = GREY % 4

    @pytest.mark.parametrize(("kind", "name"), [("PNG", "a.png"), ("BMP", "a.bmp"), ("TIFF", "a.tif")])
    def test_colours_are_looked_up_in_images_and_indices_kept_in_labels(self, kind, name):
        data = indexed(self.indices, self.colours, kind)
        image, labels = decode_image(data, Path(name)), decode_label(data, Path(name))
        assert np.array_equal(image.array, self.colours[self.indices])
        assert np.array_equal(labels.array, self.indices)
        assert rules(image) == rules(labels) == ["palette"]

    @pytest.mark.parametrize(("kind", "name"), [("PNG", "a.png"), ("BMP", "a.bmp"), ("TIFF", "a.tif")])
    def test_a_grey_palette_makes_a_grey_image(self, kind, name):
        greys = np.array([[0] * 3, [50] * 3, [99] * 3, [200] * 3], np.uint8)
        image = decode_image(indexed(self.indices, greys, kind), Path(name))
        assert np.array_equal(image.array, greys[:, 0][self.indices])

    def test_transparent_entries_are_said(self):
        image = decode_image(indexed(self.indices, self.colours, "PNG", transparency=b"\0\xff\x80"), Path("a.png"))
        assert rules(image) == ["palette", "alpha"]


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(2, 9))
    @pytest.mark.parametrize(("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("TIFF", "a.tif")])
    def test_a_picture_is_set_upright_as_viewers_do_and_that_is_said(self, orientation, kind, name):
        exif = Pillow.Exif()
        exif[274] = orientation
        if kind == "TIFF":
            data = tiff(PICTURE, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
            stored = PICTURE
        else:
            data = saved(PICTURE, kind, exif=exif)
            stored = np.asarray(Pillow.open(io.BytesIO(data)))
        turned = Pillow.fromarray(stored)
        turned.getexif()[274] = orientation
        image = decode_image(data, Path(name))
        assert np.array_equal(image.array, np.asarray(ImageOps.exif_transpose(turned)))
        assert image.grid.shape == ((13, 9) if orientation > 4 else (9, 13))
        assert image.notes == (f"orientation: set upright, the file says {orientation} of 8",)
        assert decode_label(saved(GREY, "PNG", exif=exif), Path("a.png")).grid.shape == image.grid.shape

    @pytest.mark.parametrize("orientation", [0, 1, 9, 65535])
    def test_other_values_mean_upright(self, orientation):
        exif = Pillow.Exif()
        exif[274] = orientation
        assert decode_image(saved(GREY, "PNG", exif=exif), Path("a.png")).notes == ()

    def test_an_unreadable_tag_is_said(self):
        exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"  # a directory that ends at once
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = decode_image(saved(GREY, "JPEG", exif=exif), Path("a.jpg"))
        assert rules(image) == ["exif"]


class TestTiff:
    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "lzw"},
            {"compression": "lzw", "predictor": True},
            {"compression": "zlib"},
            {"compression": "packbits"},
            {"compression": "zstd"},
            {"compression": "lzma"},
            {"bigtiff": True},
            {"byteorder": ">"},
            {"imagej": True},
            {"ome": True},
            {"tile": (16, 16)},
            {"rowsperstrip": 2},
            {"description": "aperture ½".encode()},
            {"resolution": (300, 300), "software": "scanner"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("array", [GREY, PICTURE, GREY.astype(np.uint16) * 257], ids=["grey", "colour", "deep"])
    def test_what_other_tools_write_is_no_false_alarm(self, options, array):
        image = decode_image(
            tiff(array, photometric="rgb" if array.ndim == 3 else "minisblack", **options), Path("a.tif")
        )
        assert image.notes == ()
        assert image.array.dtype == array.dtype
        assert image.array.dtype.isnative
        assert np.array_equal(image.array, array)

    def test_planes_become_channels(self):
        data = tiff(np.moveaxis(PICTURE, -1, 0), photometric="rgb", planarconfig="separate")
        assert np.array_equal(decode_image(data, Path("a.tif")).array, PICTURE)

    def test_alpha_of_grey_and_colour(self):
        for array, photometric in ((np.dstack([GREY, GREY]), "minisblack"), (np.dstack([PICTURE, GREY]), "rgb")):
            data = tiff(array, photometric=photometric, extrasamples=["unassalpha"], planarconfig="contig")
            image = decode_image(data, Path("a.tif"))
            assert np.array_equal(image.array, GREY if photometric == "minisblack" else PICTURE)
            assert rules(image) == ["alpha"]

    def test_jpeg_inside_becomes_rgb(self):
        data = saved(np.full((32, 32, 3), (200, 30, 90), np.uint8), "TIFF", "YCbCr", compression="jpeg")
        assert tifffile.TiffFile(io.BytesIO(data)).pages[0].photometric == tifffile.PHOTOMETRIC.YCBCR
        image = decode_image(data, Path("a.tif"))
        assert abs(image.array.astype(int) - (200, 30, 90)).max() <= 3

    def test_inverted_grey_is_said(self):
        image = decode_image(tiff(GREY, photometric="miniswhite"), Path("a.tif"))
        assert np.array_equal(image.array, GREY)
        assert rules(image) == ["white-is-zero"]

    def test_single_bits(self):
        data = saved(GREY > 99, "TIFF")
        image, labels = decode_image(data, Path("a.tif")), decode_label(data, Path("a.tif"))
        assert np.array_equal(image.array, (GREY > 99) * 255)
        assert np.array_equal(labels.array, GREY > 99)
        assert rules(image) == rules(labels) == ["few-bits"]

    def test_a_pyramid_in_subdirectories_is_its_full_picture(self):
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(PICTURE, photometric="rgb", subifds=1, metadata=None)
            writer.write(PICTURE[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        assert np.array_equal(decode_image(buffer.getvalue(), Path("a.tif")).array, PICTURE)


class TestOddOnes:
    def test_an_empty_mask_may_be_packed_very_small(self):
        blank = np.zeros((3000, 3000), np.uint8)
        for name, data in (
            ("a.png", saved(blank > 0, "PNG")),
            ("a.tif", tiff(blank, compression="zstd")),
            ("a.tif", tiff(blank, compression="lzw", rowsperstrip=3000)),
        ):
            assert len(data) < 9_000
            assert not decode_label(data, Path(name)).array.any()

    def test_a_bit_image_of_windows(self):
        data = saved(GREY > 99, "BMP")
        assert np.array_equal(decode_image(data, Path("a.bmp")).array, (GREY > 99) * 255)
        assert np.array_equal(decode_label(data, Path("a.bmp")).array, GREY > 99)

    def test_a_jpeg_under_the_name_of_a_png_is_said(self):
        image = decode_image(saved(PICTURE, "JPEG"), Path("a.png"))
        assert rules(image) == ["misnamed"]
        assert np.array_equal(image.array, decode_image(saved(PICTURE, "JPEG"), Path("a.jpg")).array)

    def test_a_label_image_in_jpeg_is_said(self):
        assert "lossy" in rules(decode_label(saved(GREY, "JPEG"), Path("a.jpg")))

    def test_a_camera_picture_with_a_preview(self):
        data = saved(PICTURE, "MPO", save_all=True, append_images=[Pillow.fromarray(PICTURE[::2, ::2])])
        image = decode_image(data, Path("a.jpg"))
        assert image.array.shape == PICTURE.shape
        assert rules(image) == ["preview"]

    def test_labels_saved_as_grey_colour(self):
        labels = decode_label(saved(np.dstack([GREY] * 3), "PNG"), Path("a.png"))
        assert np.array_equal(labels.array, GREY)
        assert rules(labels) == ["grey-colour"]

    def test_text_in_a_png(self):
        info = PngImagePlugin.PngInfo()
        info.add_itxt("Description", "größer", zip=True)
        assert decode_image(saved(GREY, "PNG", pnginfo=info), Path("a.png")).notes == ()


def on(affine, shape=(4, 5, 6)):
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0))
    return Image(np.zeros(shape), Grid(shape, spacing, affine), where="file")


class TestSameGrid:
    base = np.diag([1.5, 2.0, 8.0, 1.0])

    @given(noise=hnp.arrays(np.float64, (3, 3), elements=st.floats(-1e-4, 1e-4)))
    def test_rounding_is_tolerated(self, noise):
        affine = self.base.copy()
        affine[:3, :3] += noise
        assert same_grid(on(self.base), on(affine)) == ()

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (on(base, (4, 5, 7)), "different shapes"),
            (on(np.diag([1.5, 2.1, 8, 1])), "different spacing"),
            (on(np.diag([-1.5, 2, 8, 1])), "different orientation"),
            (on(base[[1, 0, 2, 3]] * (1.5 / 2, 2 / 1.5, 1, 1)), "different"),
        ],
    )
    def test_another_grid_is_refused(self, other, message):
        with pytest.raises(GeometryError, match=message) as refused:
            same_grid(on(self.base), other)
        assert refused.value.where == "file against file"

    def test_another_origin_is_said(self):
        moved = self.base.copy()
        moved[:3, 3] = 5
        assert same_grid(on(self.base), on(moved))[0].startswith("different-origin")

    def test_flat_images_compare_by_shape_alone(self):
        flat = Image(np.zeros((4, 5)), Grid((4, 5)))
        assert same_grid(flat, Image(np.zeros((4, 5, 3)), Grid((4, 5)))) == ()
        with pytest.raises(GeometryError, match="different shapes"):
            same_grid(flat, Image(np.zeros((5, 4)), Grid((5, 4))))


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((9, 9, 4), (1, 1, 8), 2),
        ((4, 9, 9), (8, 1, 1), 0),
        ((9, 9, 9), (1, 1, 1), 2),
        ((9, 9, 9), (1, 3, 3.001), 2),
        ((9, 1, 9), (1, 1, 8), 1),
        ((1, 1, 9), (1, 1, 8), 2),
    ],
)
def test_the_slice_axis(shape, spacing, axis):
    assert Grid(shape, spacing).slice_axis == axis


def test_a_flat_image_has_no_slice_axis():
    with pytest.raises(GeometryError, match="no slice axis"):
        Grid((4, 5)).slice_axis  # noqa: B018 - a property that raises
