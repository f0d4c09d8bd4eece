"""Random points and completely labelled slices."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk

from pointillist.data.simulate.full_slice import labelled_slices
from pointillist.data.simulate.points import in_out_pairs, random_point
from pointillist.geometry.strokes import rasterise
from pointillist.types import IGNORE


def rng(seed=0):
    return np.random.default_rng(seed)


def discs(*circles, shape=(120, 90)):
    image = np.zeros(shape, dtype=np.uint8)
    for row, column, radius, cls in circles:
        image[disk((row, column), radius, shape=shape)] = cls
    return image


@pytest.mark.parametrize("count", [1, 4])
def test_points_are_counted_by_class(count):
    dense = discs((30, 40, 12, 1), (80, 40, 15, 2))
    strokes = random_point(dense, rng(), count=count)
    assert [stroke.cls for stroke in strokes] == [0] * count + [1] * count + [2] * count
    assert len({tuple(stroke.points[0]) for stroke in strokes}) == 3 * count


def test_small_classes_give_all_their_pixels():
    dense = np.zeros((5, 5), dtype=np.uint8)
    dense[2, 1:4] = 1
    strokes = random_point(dense, rng(), count=10)
    assert [stroke.cls for stroke in strokes] == [0] * 10 + [1] * 3
    assert sorted(tuple(s.points[0]) for s in strokes[10:]) == [(2, 1), (2, 2), (2, 3)]


def test_points_are_uniform():
    dense = np.zeros((3, 4), dtype=np.uint8)
    source = rng()
    drawn = [tuple(random_point(dense, source)[0].points[0]) for _ in range(6000)]
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 12
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_pairs_are_three_in_and_three_out():
    strokes = in_out_pairs(discs((50, 40, 20, 1)), rng())
    assert [stroke.cls for stroke in strokes] == [0, 0, 0, 1, 1, 1]


def test_wide_points_are_blocks_within_their_class():
    dense = discs((50, 40, 20, 1))
    marks = rasterise(in_out_pairs(dense, rng(), count=1, width_px=3), dense.shape)
    assert ((marks == dense) | (marks == IGNORE)).all()
    assert [(marks == cls).sum() for cls in (0, 1)] == [9, 9]


def test_points_that_do_not_fit_are_narrow():
    dense = np.zeros((9, 9), dtype=np.uint8)
    dense[3:6, 3:6] = 1
    strokes = [s for s in random_point(dense, rng(), count=3, width_px=3) if s.cls == 1]
    assert [stroke.width_px for stroke in strokes] == [3, 1, 1]
    assert strokes[0].points.tolist() == [[4, 4]]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_labelled_slices_are_spread_over_the_foreground(count):
    volume = np.zeros((6, 7, 12), dtype=np.uint8)
    volume[2, 3, 2:8] = 1
    chosen = labelled_slices(volume, rng(), count=count)
    assert len(set(chosen)) == len(chosen) == min(count, 6)
    assert set(chosen) <= set(range(2, 8))
    if count == 3:
        assert np.diff(chosen).tolist() == [2, 2]


def test_a_volume_without_foreground_has_labelled_slices_too():
    assert len(labelled_slices(np.zeros((3, 3, 5), dtype=np.uint8), rng(), count=2)) == 2
