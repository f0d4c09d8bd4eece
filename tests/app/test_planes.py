"""Decoded images: every slice, tile and level is what the reader of whole images would give."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from pointillist.app import large_tiff
from pointillist.app.banded import PyramidWriter
from pointillist.app.large_tiff import bands
from pointillist.app.pictures import prepare_base, prepare_image, write_planes
from pointillist.app.places import base_path, image_path
from pointillist.app.planes import TILE, Planes, halved, level_size, pyramid
from pointillist.app.tiles import encode_classes, encode_tile
from pointillist.data.image import Grid
from pointillist.data.readers import read_image
from pointillist.errors import DamagedFileError
from pointillist.types import IGNORE
from tests.app.marking import pictures


@given(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from([np.uint8, np.int16, np.uint16, np.float32]), st.booleans()
)
def test_half_an_image_is_means_of_four_or_the_lowest_label(rows, columns, kind, labels):
    array = np.random.default_rng(rows * 10 + columns).integers(0, 120, (rows, columns)).astype(kind)
    half = halved(array, labels=labels)
    assert (half.shape, half.dtype) == (level_size((rows, columns), 1), array.dtype)
    for row in range(half.shape[0]):
        for column in range(half.shape[1]):
            four = [
                float(array[min(2 * row + r, rows - 1), min(2 * column + c, columns - 1)])
                for r in (0, 1)
                for c in (0, 1)
            ]
            assert half[row, column] == min(four) if labels else abs(half[row, column] - sum(four) / 4) <= 0.5


def test_extreme_values_do_not_overflow():
    for kind in (np.uint8, np.int16, np.uint16, np.int32, np.uint32):
        for value in (np.iinfo(kind).min, np.iinfo(kind).max):
            assert (halved(np.full((3, 3), value, kind), labels=False) == value).all()


@settings(max_examples=10)
@given(st.integers(1, 1300), st.integers(1, 1300), st.integers(1, 700))
def test_a_pyramid_does_not_depend_on_how_its_rows_come(rows, columns, step):
    array = np.random.default_rng(0).integers(0, 255, (rows, columns, 1), dtype=np.uint8)
    files = io.BytesIO(), io.BytesIO()
    for file, size in zip(files, (rows, step), strict=True):
        writer = PyramidWriter(file, (rows, columns), 1, array.dtype, labels=False)
        for top in range(0, rows, size):
            writer.add(array[top : top + size])
        writer.finish()
    assert files[0].getvalue() == files[1].getvalue()


@pytest.mark.parametrize("labels", [False, True])
def test_tiles_of_every_level(tmp_path, labels):
    array = np.random.default_rng(0).integers(0, 200, (1100, 700), dtype=np.uint8)
    write_planes(tmp_path / "a.image", array, Grid(array.shape), colour=False, labels=labels)
    planes = Planes.read(tmp_path / "a.image")
    for level, size in enumerate(pyramid(array.shape)):
        found = np.block(
            [
                [planes.tile(None, 0, level, (x, y)) for x in range(-(-size[1] // TILE))]
                for y in range(-(-size[0] // TILE))
            ]
        )
        assert (found == array).all()
        array = halved(array, labels=labels)
    for wrong in ((0, (2, 0)), (0, (0, 3)), (level + 1, (0, 0)), (0, (-1, 0))):
        with pytest.raises(IndexError):
            planes.tile(None, 0, *wrong)


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("channels", [1, 2])
def test_slices_across_every_axis(tmp_path, slice_axis, channels):
    shape = (5, 6, 7)
    spacing = tuple(9.0 if axis == slice_axis else 1.0 for axis in range(3))
    array = np.random.default_rng(1).normal(size=(*shape, channels)[: 3 + (channels > 1)])
    write_planes(tmp_path / "a.image", array, Grid(shape, spacing, np.eye(4)), colour=False, labels=False)
    planes = Planes.read(tmp_path / "a.image")
    assert (planes.slice_axis, planes.channels) == (slice_axis, channels)
    for axis in range(3):
        for index in range(shape[axis]):
            for channel in range(channels):
                expected = np.take(array[..., channel] if channels > 1 else array, index, axis=axis)
                assert (planes.tile(axis, index, 0, (0, 0), channel) == expected.astype(np.float32)).all()


def test_a_description_that_is_none_is_no_image(tmp_path):
    assert Planes.read(tmp_path / "a.image") is None
    (tmp_path / "a.json").write_text('{"shape": [1]}')
    assert Planes.read(tmp_path / "a.image") is None


def test_an_image_is_decoded_again_when_its_file_changes(tmp_path):
    dataset = pictures(tmp_path / "D")
    case = dataset.case("pic0")
    prepare_image(dataset, case="pic0", cache=str(tmp_path))
    first = image_path(tmp_path, case)
    assert (Planes.read(first).tile(None, 0, 0, (0, 0)) == dataset.image(case).array).all()
    written = first.stat().st_mtime_ns
    prepare_image(dataset, case="pic0", cache=str(tmp_path))
    assert first.stat().st_mtime_ns == written
    case.images[0].write_bytes(dataset.case("pic1").images[0].read_bytes())
    assert image_path(tmp_path, case) != first
    prepare_base(dataset, case="pic0", cache=str(tmp_path))
    assert (Planes.read(base_path(tmp_path, case)).tile(None, 0, 0, (0, 0)) == IGNORE).all()


class TestLargeTiff:
    @pytest.fixture(autouse=True)
    def small_counts_as_large(self, monkeypatch):
        monkeypatch.setattr(large_tiff, "_SMALL_BYTES", 1)

    @pytest.mark.parametrize("shape", [(700, 600, 3), (700, 600)])
    @pytest.mark.parametrize(
        "options",
        [{"rowsperstrip": 50}, {"tile": (64, 96)}, {"compression": "zlib", "tile": (256, 256)}, {"byteorder": ">"}],
    )
    def test_bands_are_the_image(self, tmp_path, shape, options):
        array = np.random.default_rng(0).integers(0, 9999, shape).astype(np.uint16)
        kind = "rgb" if len(shape) == 3 else "minisblack"
        tifffile.imwrite(tmp_path / "a.tif", array, photometric=kind, metadata=None, **options)
        with bands(tmp_path / "a.tif") as (size, dtype, rows):
            found = np.concatenate(list(rows))
        assert (size, dtype) == ((*shape[:2], found.shape[2]), np.dtype(np.uint16))
        assert (found.squeeze() == read_image(tmp_path / "a.tif").array).all()

    @pytest.mark.parametrize(
        "options",
        [{"photometric": "miniswhite"}, {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}],
    )
    def test_kinds_with_rules_of_their_own_are_left_to_the_reader(self, tmp_path, options):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((99, 99), np.uint8), metadata=None, **options)
        with bands(tmp_path / "a.tif") as found:
            assert found is None
        with bands(tmp_path / "a.png") as found:
            assert found is None

    def test_a_cut_file_is_damaged(self, tmp_path):
        array = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", array, compression="zlib", metadata=None, rowsperstrip=20)
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data[:-9000])
        with pytest.raises(DamagedFileError), bands(tmp_path / "a.tif") as found:
            assert found is None or list(found[2])
            raise DamagedFileError("read as a whole", where=1, expected=1, received=1, todo="-")

    def test_a_bomb_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr("pointillist.data.pixels._HARMLESS_BYTES", 1000)
        monkeypatch.setattr("pointillist.data.pixels._DEEPEST_RATIO", 2)
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((3000, 3000), np.uint8), compression="zlib", metadata=None)
        with pytest.raises(DamagedFileError, match="claims more pixels"), bands(tmp_path / "a.tif"):
            pass


def test_a_window_is_black_below_and_white_above():
    array = np.array([[-5.0, 0, 50, 100, 200]], np.float32)
    assert imagecodecs.png_decode(encode_tile(array, 0, 100)).tolist() == [[0, 0, 127, 255, 255]]
    assert imagecodecs.png_decode(encode_tile(array, 7, 7)).tolist() == [[0, 0, 255, 255, 255]]


def test_classes_have_their_colours_and_the_rest_is_clear():
    tile = imagecodecs.png_decode(encode_classes(np.array([[0, 1, IGNORE, 9]], np.uint8), ("#010203", "#ff0000")))
    assert tile.tolist() == [[[1, 2, 3, 255], [255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 0]]]
