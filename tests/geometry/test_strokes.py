from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.draw import line

from pointillist.errors import GeometryError
from pointillist.geometry.strokes import inside, rasterise, scale
from pointillist.types import IGNORE, Stroke

coordinates = st.floats(-3, 12).map(lambda x: round(x, 2))
polylines = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5).map(np.array)


def drawn(*strokes, shape=(9, 11)):
    return rasterise(strokes, shape) != IGNORE


def grid(text):
    return np.array([[char == "#" for char in row] for row in text.split()])


def test_nothing_drawn_is_all_ignore():
    assert (rasterise([], (3, 4)) == IGNORE).all()
    assert rasterise([], (3, 4)).dtype == np.uint8
    assert inside([], (3, 4)).shape == (0,)


def test_a_point_is_one_pixel():
    assert np.argwhere(drawn(Stroke(0, [[3.4, 5.6]]))).tolist() == [[3, 6]]


def test_halves_are_rounded_up():
    assert np.argwhere(drawn(Stroke(0, [[2.5, 3.5]]))).tolist() == [[3, 4]]


def test_a_polyline_by_hand():
    expected = grid("#....  .#...  ..###  ....#  ....#")
    assert (drawn(Stroke(1, [[0, 0], [2, 2], [2, 4], [4, 4]]), shape=(5, 5)) == expected).all()


def test_a_sloping_line_by_hand():
    assert (drawn(Stroke(1, [[0, 0], [2, 4]]), shape=(3, 5)) == grid("#....  .##..  ...##")).all()


def test_a_point_of_width_3_is_a_block():
    assert np.argwhere(drawn(Stroke(1, [[4, 4]], 3))).tolist() == [[r, c] for r in (3, 4, 5) for c in (3, 4, 5)]


def test_a_point_of_width_2_is_a_cross():
    assert (drawn(Stroke(1, [[1, 1]], 2), shape=(3, 3)) == grid(".#. ### .#.")).all()


def test_a_thick_line_has_its_width():
    band = drawn(Stroke(1, [[4, 2], [4, 8]], 3))
    assert (band[:, 5] == grid("...###...")[0]).all()


@pytest.mark.parametrize("rise", [1.1e-308, -1e-200, 1e-12])
def test_a_thick_line_that_hardly_rises_is_level(rise):
    level, almost = (drawn(Stroke(1, [[0, 2], [end, 8]], 2)) for end in (0, rise))
    assert (almost == level).all()


def test_later_strokes_cover_earlier_ones():
    across, down = Stroke(1, [[2, 0], [2, 4]]), Stroke(2, [[0, 2], [4, 2]])
    assert rasterise([across, down], (5, 5))[2, 2] == 2
    assert rasterise([down, across], (5, 5))[2, 2] == 1


def test_order_holds_between_thick_and_thin_strokes():
    thick, thin = Stroke(1, [[2, 2]], 3), Stroke(2, [[2, 2]])
    assert rasterise([thick, thin], (5, 5))[2, 2] == 2
    assert rasterise([thin, thick], (5, 5))[2, 2] == 1


def test_draws_onto_a_copy():
    base = np.zeros((3, 3), dtype=np.uint8)
    result = rasterise([Stroke(2, [[1, 1]])], (3, 3), onto=base)
    assert result.tolist() == [[0, 0, 0], [0, 2, 0], [0, 0, 0]]
    assert not base.any()


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_volumes_with_each_slice_axis(axis):
    shape = (4, 5, 6)
    canvas = rasterise([Stroke(1, [[1, 0, 2], [1, 3, 2]])], shape, slice_axis=axis)
    plane = np.moveaxis(canvas, axis, -1)[:, :, 2]
    assert np.argwhere(plane == 1).tolist() == [[1, 0], [1, 1], [1, 2], [1, 3]]
    assert (canvas != IGNORE).sum() == 4


@pytest.mark.parametrize("depth", [-1.0, 3.0, 1e300])
def test_strokes_on_other_slices_are_dropped(depth):
    strokes = [Stroke(1, [[1, 1, depth]]), Stroke(1, [[1, 1, 0]])]
    assert (rasterise(strokes, (3, 3, 3)) == 1).sum() == 1
    assert inside(strokes, (3, 3, 3)).tolist() == [False, True]


@pytest.mark.parametrize("corner", [(-0.5, -0.5), (8.5, 10.5), (-0.5, 10.5), (8.5, -0.5)])
@pytest.mark.parametrize("width", [1, 1.5])
def test_the_rim_belongs_to_the_border_pixel(corner, width):
    assert drawn(Stroke(1, [corner], width)).sum() == 1


@pytest.mark.parametrize("corner", [(-0.51, 3), (8.6, 3), (3, -0.51), (3, 10.6)])
def test_beyond_the_rim_is_dropped(corner):
    assert not drawn(Stroke(1, [corner])).any()
    assert not inside([Stroke(1, [corner])], (9, 11)).any()


def test_a_thick_point_outside_reaches_in():
    assert np.argwhere(drawn(Stroke(1, [[-1, 0]], 2))).tolist() == [[0, 0]]
    assert not drawn(Stroke(1, [[4, -30]], 3)).any()


def test_a_line_through_the_image_is_cut_to_it():
    assert (np.argwhere(drawn(Stroke(1, [[4, -1e6], [4, 1e6]])))[:, 1] == np.arange(11)).all()
    assert drawn(Stroke(1, [[1e300, 3], [-1e300, 3]])).sum() == 9
    assert drawn(Stroke(1, [[1e300, 3], [-1e300, 3]], 3)).sum() == 27


@settings(deadline=None)
@given(polylines, st.sampled_from([1.5, 2, 3, 4.7]))
def test_thick_lines_against_distances_to_every_segment(points, width):
    shape = (9, 11)
    pixel = np.indices(shape).reshape(2, -1).T[:, None].astype(float)
    start, end = points, np.vstack([points[1:], points[-1:]])
    along = end - start
    square = (along**2).sum(-1)
    t = np.clip(((pixel - start) * along).sum(-1) / np.where(square > 0, square, 1), 0, 1)
    distance = np.linalg.norm(start + t[..., None] * along - pixel, axis=-1).min(1).reshape(shape)
    thick, thin = drawn(Stroke(1, points, width)), drawn(Stroke(1, points))
    unsure = np.abs(distance - width / 2) < 1e-6
    assert (thick | unsure == (distance <= width / 2) | thin | unsure).all()
    assert thick[thin].all()


@settings(deadline=None)
@given(*[st.integers(0, 30)] * 4)
def test_thin_lines_have_the_properties_of_bresenhams(r0, c0, r1, c1):
    pixels = np.argwhere(drawn(Stroke(1, [[r0, c0], [r1, c1]]), shape=(31, 31)))
    assert len(pixels) == max(abs(r1 - r0), abs(c1 - c0)) + 1 == len(line(r0, c0, r1, c1)[0])
    assert {(r0, c0), (r1, c1)} <= set(map(tuple, pixels.tolist()))
    longer = np.argmax([abs(r1 - r0), abs(c1 - c0)])
    in_order = pixels[np.argsort(pixels[:, longer])]
    assert (np.abs(np.diff(in_order, axis=0)).max(axis=1, initial=0) <= 1).all()
    span = np.array([r1 - r0, c1 - c0])
    off_line = np.abs((pixels - [r0, c0]) @ [-span[1], span[0]])
    assert (off_line <= 0.5 * np.abs(span).max()).all()


@settings(deadline=None)
@given(polylines)
def test_a_clipped_line_equals_a_line_on_a_larger_canvas(points):
    large = drawn(Stroke(1, points + 10), shape=(40, 40))[10:19, 10:21]
    assert (drawn(Stroke(1, points)) | large == large).all()
    rim = ((points == [8.5, 10.5]) | (points == [8.5, 0]) | (points == [0, 10.5])).any()
    if not rim:
        assert (drawn(Stroke(1, points)) == large).all()


@pytest.mark.parametrize(
    "misfit",
    [
        lambda: rasterise([], (4,)),
        lambda: rasterise([], (4, 4, 4, 4)),
        lambda: rasterise([], (4, 4, 4), slice_axis=3),
        lambda: rasterise([Stroke(1, [[0, 0]])], (4, 4, 4)),
        lambda: rasterise([Stroke(1, [[0, 0, 0]])], (4, 4)),
        lambda: rasterise([], (4, 4), onto=np.zeros((4, 5), dtype=np.uint8)),
        lambda: inside([Stroke(1, [[0, 0, 0]])], (4, 4)),
        lambda: scale([], (4, 4, 3), (4, 4, 2)),
        lambda: scale([], (4, 4, 3), (4, 4)),
        lambda: scale([], (0, 4), (4, 4)),
        lambda: scale([], (4, 4), (4, 0)),
    ],
)
def test_what_does_not_fit_is_refused(misfit):
    with pytest.raises(GeometryError):
        misfit()


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(0, 3), st.integers(0, 3)), elements=st.just(7)))
def test_empty_images_stay_empty(base):
    strokes = [Stroke(1, [[5, 5]]), Stroke(1, [[5, 5], [9, 9]], 2)]
    assert (rasterise(strokes, base.shape, onto=base) == base).all()
