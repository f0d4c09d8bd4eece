"""Non-maximum suppression in place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pointillist.geometry.peaks import peaks


def test_the_highest_places_that_lie_apart_by_hand():
    height = np.zeros((5, 9))
    height[2, 1], height[2, 2], height[2, 6], height[0, 8] = 5, 4, 3, 2
    assert peaks(height, apart=2, count=9) == [(2, 1, 5.0), (2, 6, 3.0), (0, 8, 2.0)]
    assert peaks(height, apart=1, count=9) == [(2, 1, 5.0), (2, 2, 4.0), (2, 6, 3.0), (0, 8, 2.0)]
    assert peaks(height, apart=2, count=1) == [(2, 1, 5.0)]
    assert peaks(height, apart=2, count=9, least=2) == [(2, 1, 5.0), (2, 6, 3.0)]


def test_equal_heights_come_in_reading_order_and_the_map_stays():
    height = np.ones((3, 3))
    assert peaks(height, apart=2.5, count=9) == [(0, 0, 1.0), (2, 2, 1.0)]
    assert (height == 1).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_map_without_height_has_no_peaks(value):
    assert peaks(np.full((4, 4), value), apart=1, count=3) == []


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.floats(0, 1)), st.floats(1, 6))
def test_peaks_are_apart_descending_and_cover_every_higher_pixel(height, apart):
    found = peaks(height, apart=apart, count=height.size)
    places = np.array([place[:2] for place in found]).reshape(-1, 2)
    assert [place[2] for place in found] == sorted((place[2] for place in found), reverse=True)
    for number, place in enumerate(places):
        others = np.delete(places, number, 0)
        assert (np.hypot(*(others - place).T) >= apart).all()
    for pixel in np.argwhere(height > 0):
        near = np.hypot(*(places - pixel).T) < max(apart, 1)
        assert any(found[n][2] >= height[tuple(pixel)] for n in np.flatnonzero(near))
