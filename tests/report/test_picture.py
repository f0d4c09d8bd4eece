from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageColor

from pointillist.data.image import Grid, Image
from pointillist.report.page import render
from pointillist.report.picture import busiest_slice, marked_picture, outlines
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

SPEC = TaskSpec(("background", "one", "two"), ("x",))
RAS = np.array([[0, 1], [1, 1], [2, 1.0]])


def volume(shape=(20, 30, 5), spacing=(1.0, 1.0, 4.0)):
    array = np.zeros(shape, np.int16)
    return Image(array, Grid(shape, spacing, np.diag([*spacing, 1.0]), RAS))


def picture(image, labels):
    data, number = marked_picture(image, labels, SPEC)
    return np.asarray(Pillow.open(BytesIO(data))).astype(int), number


def near(pixels, colour):
    return np.abs(pixels - ImageColor.getrgb(colour)).sum(axis=-1) < 90


@given(row=st.integers(0, 999), column=st.integers(0, 799))
def test_no_mark_is_lost_in_a_small_picture(row, column):
    labels = np.full((1000, 800), IGNORE, np.uint8)
    labels[row, column] = 1
    pixels, number = picture(Image(np.zeros((1000, 800), np.uint8), Grid((1000, 800))), labels)
    assert number is None
    assert near(pixels, SPEC.colours[1]).any()


def test_a_mark_on_a_small_image_becomes_a_block():
    labels = np.full((16, 16), IGNORE, np.uint8)
    labels[3, 5] = 2
    pixels, _ = picture(Image(np.zeros((16, 16), np.uint8), Grid((16, 16))), labels)
    assert pixels.shape == (256, 256, 3)
    rows, columns = np.nonzero(near(pixels, SPEC.colours[2]))
    assert (rows.min() // 16, rows.max() // 16, columns.min() // 16, columns.max() // 16) == (3, 3, 5, 5)


@pytest.mark.parametrize("cls", [0, 1, 2])
@pytest.mark.parametrize("ground", ["mark", "#000000", "#ffffff", "#c080b0"])
def test_a_mark_is_seen_on_any_ground_by_its_rim(cls, ground):
    colour = ImageColor.getrgb(SPEC.colours[cls] if ground == "mark" else ground)
    labels = np.full((256, 256), IGNORE, np.uint8)
    labels[100, 100] = cls
    labels[50, 20:90] = cls
    pixels, _ = picture(Image(np.full((256, 256, 3), colour, np.uint8), Grid((256, 256))), labels)
    rim = [pixels[100, 96], pixels[104, 100], pixels[49, 50], pixels[51, 50]]
    assert all(np.abs(one - pixels[200, 200]).max() > 60 for one in rim)
    assert near(pixels[98:103, 98:103], SPEC.colours[cls]).all()
    assert near(pixels[200:, 200:], f"#{bytes(colour).hex()}").all()


def test_the_patients_right_is_on_the_left_and_anterior_is_up():
    image = volume()
    labels = np.full(image.grid.shape, IGNORE, np.uint8)
    labels[19, 29, 2] = 1  # the most right and most anterior voxel
    pixels, number = picture(image, labels)
    rows, columns = np.nonzero(near(pixels, SPEC.colours[1]))
    assert number == 2
    assert rows.max() < pixels.shape[0] / 20
    assert columns.max() < pixels.shape[1] / 10


def test_pixels_are_as_wide_and_high_as_in_millimetres():
    pixels, number = picture(volume((20, 20, 5), (1.0, 2.0, 4.0)), None)
    assert pixels.shape[0] == 2 * pixels.shape[1]
    assert number == 2


def test_the_busiest_slice():
    image = volume()
    labels = np.full(image.grid.shape, IGNORE, np.uint8)
    assert busiest_slice(labels, image) == 2
    labels[:5, 0, 4] = 0
    assert busiest_slice(labels, image) == 4
    labels[0, 0, 1] = 2
    assert busiest_slice(labels, image) == 1


@pytest.mark.parametrize("array", [np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 2)), np.zeros((8, 8, 3), np.uint16)])
def test_any_number_of_channels_is_shown(array):
    pixels, _ = picture(Image(array, Grid((8, 8))), None)
    assert pixels.shape == (256, 256, 3)


def test_what_a_page_shows_is_escaped():
    from types import SimpleNamespace

    dataset = SimpleNamespace(name="<script>", root=Path("D"), training=(), spec=SPEC)
    page = render("check.html", dataset=dataset, groups=[], classes=[], pictures=[], cases=0, ok=True)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_outlines_are_the_rims_of_the_regions():
    labels = np.zeros((7, 7), np.uint8)
    labels[1:6, 1:6] = 1
    labels[3, 3] = 2
    drawn = outlines(labels, Image(labels, Grid((7, 7))))
    assert (drawn[1, 1:6] == 1).all()
    assert drawn[3, 3] == 2
    assert drawn[2, 3] == 1  # it touches the other class
    assert (drawn[0] == IGNORE).all()
    assert drawn[2, 2] == IGNORE


def test_outlines_of_a_volume_stay_in_their_slices():
    image = volume((6, 6, 3))
    labels = np.zeros((6, 6, 3), np.uint8)
    labels[1:5, 1:5, 1] = 1
    drawn = outlines(labels, image)
    assert (drawn[..., 0] == IGNORE).all()
    assert drawn[2, 2, 1] == IGNORE
    assert drawn[1, 2, 1] == 1
