import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.draw import polygon

from pointillist.geometry.polygon import filled, signed_area

SHAPE = (20, 24)


def drawn(points, shape=SHAPE):
    mask = np.zeros(shape, bool)
    window, inside = filled(np.asarray(points, float), shape)
    mask[window] = inside
    return mask


@given(st.integers(0, 2**32), st.integers(3, 12))
def test_the_same_pixels_as_scikit_image_finds_one_by_one(seed, corners):
    points = np.random.default_rng(seed).uniform(-6, 30, (corners, 2))  # no edge runs through a pixel's centre
    expected = np.zeros(SHAPE, bool)
    expected[polygon(*points.T, SHAPE)] = True
    assert (drawn(points) == expected).all()


def test_polygons_that_share_edges_share_no_pixel_and_leave_none_out():
    left, right = [(0, 0), (8, 0), (4, 8), (0, 8)], [(0, 8), (4, 8), (8, 0), (8, 16), (0, 16)]
    one, other = drawn(left), drawn(right)
    assert not (one & other).any()
    assert (one | other)[:8, :16].all()
    assert (one | other).sum() == 8 * 16


def test_a_square_by_hand_and_one_drawn_over_itself():
    square = [(1.5, 2.5), (1.5, 5.5), (3.5, 5.5), (3.5, 2.5)]
    assert np.argwhere(drawn(square)).tolist() == [[2, 3], [2, 4], [2, 5], [3, 3], [3, 4], [3, 5]]
    assert not drawn([*square, *square]).any()  # even-odd


@pytest.mark.parametrize("points", [np.zeros((0, 2)), [(3, 3)], [(1, 1), (9, 9)], [(-9, -9), (-9, -2), (-2, -2)]])
def test_what_holds_no_centre_draws_nothing(points):
    assert not drawn(np.asarray(points, float).reshape(-1, 2)).any()


def test_a_polygon_beyond_every_side_fills_the_image():
    assert drawn([(-1e6, -1e6), (-1e6, 1e6), (1e6, 1e6), (1e6, -1e6)]).all()


def test_the_area_has_the_sign_of_the_turn():
    ring = np.array([(0, 0), (0, 3), (2, 3), (2, 0)], float)
    assert signed_area(ring) == 6
    assert signed_area(ring[::-1]) == -6
