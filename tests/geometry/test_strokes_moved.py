"""Strokes that are moved with their image, or simplified."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointillist.errors import InputError
from pointillist.geometry.strokes import inside, rasterise, scale, simplify
from pointillist.types import Stroke

coordinates = st.floats(-3, 12).map(lambda x: round(x, 2))
polylines = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5).map(np.array)
sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(deadline=None)
@given(sizes, sizes, st.data(), st.sampled_from([0.5, 1, 3]))
def test_a_stroke_covers_a_pixel_at_any_size(old, new, data, width):
    vertex = st.tuples(st.floats(-0.5, old[0] - 0.5), st.floats(-0.5, old[1] - 0.5))
    strokes = [Stroke(1, data.draw(st.lists(vertex, min_size=1, max_size=3)), width)]
    moved = scale(strokes, old, new)
    assert inside(moved, new).all()
    assert (rasterise(moved, new) == 1).any()
    assert inside(scale(moved, new, old), old).all()


def test_every_point_survives_halving_where_nearest_neighbour_keeps_a_quarter():
    places = np.argwhere(np.ones((16, 16)))
    raster = [rasterise([Stroke(1, place[None])], (16, 16))[::2, ::2] for place in places]
    assert np.mean([(kept == 1).any() for kept in raster]) == 0.25
    moved = scale([Stroke(1, place[None]) for place in places], (16, 16), (8, 8))
    assert all((rasterise([stroke], (8, 8)) == 1).sum() == 1 for stroke in moved)


def test_scaling_moves_pixel_centres():
    (moved,) = scale([Stroke(1, [[0, 0], [3, 7]], author="me")], (4, 8), (2, 16))
    assert moved.points.tolist() == [[-0.25, 0.5], [1.25, 14.5]]
    assert moved.author == "me"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scaling_leaves_slices(axis):
    old, new = np.insert([4, 8], axis, 3), np.insert([8, 8], axis, 3)
    (moved,) = scale([Stroke(1, [[1, 1, 2]])], tuple(old), tuple(new), slice_axis=axis)
    assert moved.points.tolist() == [[2.5, 1, 2]]


@pytest.mark.parametrize(("width", "size", "expected"), [(1, 16, 1), (0.5, 16, 0.5), (6, 16, 12), (6, 4, 3), (3, 1, 1)])
def test_widths_scale_down_to_one_pixel(width, size, expected):
    (moved,) = scale([Stroke(1, [[1, 1]], width)], (8, 8), (size, 2 * size))
    assert moved.width_px == expected


@settings(deadline=None)
@given(polylines, st.floats(0, 3))
def test_simplifying_keeps_the_line_within_the_tolerance(points, tolerance):
    stroke = Stroke(1, points, author="me")
    simple = simplify(stroke, tolerance)
    assert len(simple.points) <= len(points)
    assert (simple.points[[0, -1]] == points[[0, -1]]).all()
    assert simple.author == "me"


def test_simplifying_drops_what_is_on_the_line():
    flat = simplify(Stroke(1, [[0, 0, 3], [0, 2, 3], [0.1, 4, 3], [5, 4, 3]]), 0.2)
    assert flat.points.tolist() == [[0, 0, 3], [0.1, 4, 3], [5, 4, 3]]


@pytest.mark.parametrize("tolerance", [-1, np.nan])
def test_simplifying_needs_a_tolerance(tolerance):
    with pytest.raises(InputError, match="tolerance"):
        simplify(Stroke(1, [[0, 0]]), tolerance)
