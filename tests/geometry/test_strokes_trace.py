from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointillist.errors import GeometryError
from pointillist.geometry.strokes import rasterise, trace
from pointillist.types import IGNORE, Stroke

shapes = st.one_of(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 5)] * 3))
labels = st.sampled_from([IGNORE, IGNORE, IGNORE, 0, 1, 254])
maps = shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=labels, fill=st.nothing()))


@settings(deadline=None)
@given(maps, st.integers(-3, 2))
def test_traced_strokes_draw_the_same_map(marks, axis):
    strokes = trace(marks, slice_axis=axis)
    assert (rasterise(strokes, marks.shape, slice_axis=axis) == marks).all()
    backwards = rasterise(strokes[::-1], marks.shape, slice_axis=axis)
    assert (backwards == marks).all()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), *[st.integers(0, 19)] * 4), min_size=1, max_size=6))
def test_strokes_to_map_to_strokes_to_map(ends):
    strokes = [Stroke(cls, [[a, b], [c, d]], 1 + cls) for cls, a, b, c, d in ends]
    marks = rasterise(strokes, (20, 20))
    assert (rasterise(trace(marks), marks.shape) == marks).all()


def test_nothing_to_trace():
    assert trace(np.full((3, 4), IGNORE, dtype=np.uint8)) == []
    assert trace(np.zeros((0, 4), dtype=np.uint8)) == []


def test_a_line_is_one_stroke_with_its_ends():
    marks = rasterise([Stroke(3, [[2, 1], [2, 9]])], (5, 12))
    (stroke,) = trace(marks, author="someone")
    assert sorted(stroke.points.tolist()) == [[2, 1], [2, 9]]
    assert (stroke.cls, stroke.width_px, stroke.author) == (3, 1, "someone")


def test_an_angle_keeps_its_corner():
    (stroke,) = trace(rasterise([Stroke(0, [[0, 0], [4, 4], [4, 9]])], (6, 10)))
    assert sorted(stroke.points.tolist()) == [[0, 0], [4, 4], [4, 9]]


def test_a_ring_is_one_stroke():
    marks = rasterise([Stroke(1, [[1, 4], [4, 7], [7, 4], [4, 1], [1, 4]])], (9, 9))
    (stroke,) = trace(marks)
    assert len(stroke.points) <= 6


def test_points_stay_points():
    marks = np.full((5, 5, 4), IGNORE, dtype=np.uint8)
    marks[1, 1, 0] = marks[1, 1, 1] = marks[3, 3, 1] = 2
    assert [stroke.points.tolist() for stroke in trace(marks)] == [[[1, 1, 0]], [[1, 1, 1]], [[3, 3, 1]]]


def test_touching_classes_are_traced_apart():
    marks = np.array([[0, 1, 0, 1]], dtype=np.uint8)
    assert [stroke.cls for stroke in trace(marks)] == [0, 1, 0, 1]


def test_many_parts_take_linear_time():
    marks = np.full((600, 600), IGNORE, dtype=np.uint8)
    marks[::2, ::2] = 1
    began = time.perf_counter()
    assert len(trace(marks)) == 300 * 300
    assert time.perf_counter() - began < 20  # one walk over a star of all parts takes minutes


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2, 2)])
def test_only_images_and_volumes(shape):
    with pytest.raises(GeometryError):
        trace(np.zeros(shape, dtype=np.uint8))
