"""Erasers leave the labels as they are when marks go to a program that knows none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.data.dataset import Dataset
from pointillist.data.exchange.bring import BringOptions, bring_marks
from pointillist.data.exchange.erasing import without_erasers
from pointillist.data.exchange.take_out import take_out_marks
from pointillist.data.image import Grid, Image
from pointillist.data.marked import Marked, read_marked, write_marked
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE, Stroke

place = st.tuples(st.integers(-1, 8), st.integers(-1, 8))
stroke = st.builds(
    lambda cls, points, width: Stroke(cls, np.array(points, float), width),
    st.sampled_from([0, 1, 2, IGNORE]),
    st.lists(place, min_size=1, max_size=3),
    st.sampled_from([1.0, 3.0]),
)
bases = st.one_of(st.none(), st.integers(0, 2**30).map(lambda seed: random_base(seed)))


def random_base(seed):
    return np.random.default_rng(seed).choice(np.array([0, 1, IGNORE, IGNORE], np.uint8), (8, 8))


def marks(strokes, base=None, shape=(8, 8)):
    return Marked(Image(np.zeros(shape, np.uint8), Grid(shape)), base, tuple(strokes))


@given(st.lists(stroke, max_size=8), bases)
def test_the_labels_stay_the_same(strokes, base):
    before = marks(strokes, base)
    after, areas = without_erasers(before)
    assert all(one.cls != IGNORE for one in after.strokes)
    assert areas == sum(one.cls != IGNORE for one in strokes) - len(after.strokes)
    assert (rasterise(after.strokes, (8, 8), onto=after.base) == rasterise(strokes, (8, 8), onto=base)).all()


def test_what_no_eraser_touched_stays_a_stroke():
    apart, under, touched = Stroke(1, [[0, 0]]), Stroke(0, [[5, 0], [5, 3]]), Stroke(2, [[5, 2], [5, 7]])
    eraser, later = Stroke(IGNORE, [[5, 6]]), Stroke(1, [[5, 6]])
    after, areas = without_erasers(marks([apart, under, touched, eraser, later]))
    assert after.strokes == (apart, later)
    assert areas == 2
    assert after.base[5].tolist() == [0, 0, 2, 2, 2, 2, 255, 2]


def test_without_erasers_nothing_changes():
    before = marks([Stroke(1, [[0, 0]])])
    assert without_erasers(before) == (before, 0)


@pytest.mark.parametrize("form", ["qupath", "imagej", "napari"])
def test_erased_marks_go_out_as_areas_and_come_back(pictures, tmp_path, form):
    case = pictures.case("slide1")
    strokes = (Stroke(1, [[2, 2], [2, 12]], 3.0), Stroke(IGNORE, [[2, 7]], 3.0), Stroke(2, [[9, 4], [9, 8]]))
    before = write_marked(pictures, case, Marked(read_marked(pictures, case).image, None, strokes))
    taken = take_out_marks(pictures, tmp_path / "out", form)
    assert "strokes that an eraser touched and that are areas now: 1" in taken.notes
    bring_marks(pictures, [tmp_path / "out"], BringOptions(replace=True))
    now = Dataset.open(pictures.root)
    assert (now.sparse_labels(now.case("slide1")).array == before).all()
    assert IGNORE not in {one.cls for one in read_marked(now, now.case("slide1")).strokes}


def test_label_images_hold_what_is_left(pictures, tmp_path):
    case = pictures.case("slide1")
    strokes = (Stroke(1, [[2, 2], [2, 12]]), Stroke(IGNORE, [[2, 7]]))
    write_marked(pictures, case, Marked(read_marked(pictures, case).image, None, strokes))
    taken = take_out_marks(pictures, tmp_path / "out", "labels")
    assert taken.notes == ("strokes that are pixels now, without their coordinates: 2",)
