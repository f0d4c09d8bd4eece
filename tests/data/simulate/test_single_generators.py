"""What is particular to each generator."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk
from skimage.morphology import skeletonize

from pointillist.data.simulate.hull import hull
from pointillist.data.simulate.random_walk import _walk, random_walk
from pointillist.data.simulate.s2l import s2l
from pointillist.data.simulate.skeleton import skeleton
from pointillist.data.simulate.word import _longest_line, word
from pointillist.types import IGNORE

EIGHT = np.ones((3, 3))


def rng(seed=0):
    return np.random.default_rng(seed)


def discs(*circles, shape=(120, 90)):
    image = np.zeros(shape, dtype=np.uint8)
    for row, column, radius, cls in circles:
        image[disk((row, column), radius, shape=shape)] = cls
    return image


def parts(mask):
    return ndimage.label(mask, EIGHT)[1]


def test_skeleton_of_a_bar_by_hand():
    dense = np.zeros((9, 15), dtype=np.uint8)
    dense[3:6, 2:13] = 1
    line = skeleton(dense, rng(), width_px=1) == 1
    assert line[4, 2:11].all()
    assert line.sum() <= 11  # and at most a turn at each end
    assert (skeleton(dense, rng()) == 1)[3:6, 7].all()


@pytest.mark.parametrize("shape", [(40, 120), (120, 40)])
def test_walks_reach_everywhere_on_images_that_are_not_square(shape):
    reached = np.zeros(shape, dtype=bool)
    for seed in range(150):
        reached |= _walk(np.ones(shape, dtype=bool), rng(seed))
    assert reached.any(axis=0).all()
    assert reached.any(axis=1).all()


def test_a_walk_covers_a_tenth_of_its_class_in_connected_steps():
    mask = discs((60, 45, 30, 1)) == 1
    walked = _walk(mask, rng())
    assert walked.sum() == int(0.1 * mask.sum())
    assert parts(walked) == 1
    assert not (walked & ~mask).any()


def test_a_walk_gives_up():
    assert 1 <= _walk(np.ones((300, 300), dtype=bool), rng()).sum() <= 4001
    corridor = np.ones((1, 400), dtype=bool)  # no step keeps the row, so there is no second one
    assert _walk(corridor, rng()).sum() <= 3


def test_a_walk_whose_smoothing_leaves_the_class_stays_as_walked(monkeypatch):
    monkeypatch.setattr("pointillist.data.simulate.random_walk.thickened", lambda line, *_: line & False)
    dense = discs((60, 45, 30, 1))
    assert set(np.unique(random_walk(dense, rng()))) == {0, 1, IGNORE}


def test_word_keeps_one_line_without_branches():
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[18:22, 5:55] = 1
    mask[5:18, 28:32] = 1  # a side branch
    line = word(mask, rng(), width_px=1) == 1
    neighbours = ndimage.convolve(line.astype(int), EIGHT, mode="constant") - 1
    assert parts(line) == 1
    assert np.count_nonzero(line & (neighbours == 1)) == 2
    assert line.sum() < skeletonize(mask == 1, method="lee").astype(bool).sum()


def test_the_longest_line_of_a_ring_goes_around_it():
    pixels = np.argwhere(skeletonize(discs((60, 45, 30, 1), (60, 45, 22, 0)) == 1))
    assert _longest_line(pixels, (120, 90), rng()).mean() > 0.8


def test_word_drops_tiny_parts_only():
    dense = discs((20, 20, 3, 1))
    dense[60:66, 10:80] = 1
    dense[90:96, 10:80] = 1
    line = word(dense, rng(), width_px=1) == 1
    assert not line[:40].any()
    assert line[60:66].any()
    assert line[90:96].any()


def test_word_moves_lines_of_large_classes_only():
    large, small = discs((60, 45, 35, 1), (60, 45, 24, 0)), discs((60, 45, 14, 1))
    assert len({(word(small, rng(seed)) == 1).tobytes() for seed in range(5)}) == 1
    assert len({(word(large, rng(seed)) == 1).tobytes() for seed in range(5)}) == 5


@pytest.mark.slow
def test_word_erodes_no_class_away_and_moves_no_line_out_of_it():
    dense = np.zeros((400, 700), dtype=np.uint8)
    dense[200:202, 10:690] = 1  # above 1000 px, and thinner than any shift
    for seed in range(30):
        assert (word(dense, rng(seed)) == 1).any()


def test_word_draws_the_background_unmoved_and_thin():
    dense = discs((60, 45, 20, 1))
    background = word(dense, rng()) == 0
    assert parts(background) == 1
    assert not ndimage.binary_erosion(background, EIGHT).any()


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.5, 1.0])
def test_s2l_keeps_a_fraction_and_as_much_background(fraction):
    dense = discs(*[(15 + 30 * i, 15 + 30 * j, 8, 1) for i in range(5) for j in range(4)], shape=(150, 120))
    marks = s2l(dense, rng(), fraction=fraction)
    assert parts(marks == 1) == 20 * fraction
    assert parts(marks == 0) == 20 * fraction


def test_s2l_counts_all_classes():
    dense = discs(*[(15 + 30 * i, 15 + 30 * j, 8, 1 + j) for i in range(5) for j in range(4)], shape=(150, 120))
    marks = s2l(dense, rng(), fraction=0.5)
    assert [parts(marks == cls) for cls in range(5)] == [12, 3, 3, 3, 3]


def test_s2l_takes_all_of_a_background_with_few_pieces():
    dense = np.ones((60, 60), dtype=np.uint8)
    dense[28:32] = 0
    dense[:28:6] = dense[32::6] = 2
    marks = s2l(dense, rng())
    assert parts(marks == 1) + parts(marks == 2) > 8
    assert (marks[28:32] == 0).any()


def test_s2l_rounds_the_kept_objects_up():
    dense = discs(*[(15 + 30 * i, 20, 8, 1) for i in range(3)])
    assert parts(s2l(dense, rng(), fraction=0.1) == 1) == 1


def test_hull_draws_a_line_five_pixels_around_all_organs():
    dense = np.zeros((60, 70), dtype=np.uint8)
    dense[20:30, 25:31] = 1
    dense[35:41, 40:46] = 2
    marks = hull(dense, rng())
    line = (marks == 0) & ~skeletonize(dense == 0)
    corners = np.argwhere(dense > 0)
    assert line.any()
    assert not (marks == 0)[15:30, 25:31][5:].any()  # none on the organs
    assert (marks[15, 25:31] == 0).all()  # straight above the upper organ, five pixels away
    assert (marks[45, 41:45] == 0).all()
    assert (marks[20:29, 20] == 0).all()
    nearest = ndimage.distance_transform_edt(dense == 0)[line]
    assert nearest.min() > 4
    assert line[:, : corners[:, 1].min() - 5].sum() == line[: corners[:, 0].min() - 5].sum() == 0
    assert (marks == 1).sum() == skeletonize(dense == 1).sum()


def test_hull_encloses_both_organs_in_one_line():
    dense = discs((30, 20, 6, 1), (80, 65, 8, 2))
    line = (hull(dense, rng()) == 0) & ~skeletonize(dense == 0)
    around, n = ndimage.label(~ndimage.binary_dilation(line, EIGHT))
    assert around[30, 20] == around[80, 65] != around[0, 0]
    assert n >= 2


def test_hull_at_the_border_draws_no_line_along_it():
    dense = np.zeros((50, 60), dtype=np.uint8)
    dense[0:20, 20:40] = 1
    marks = hull(dense, rng())
    rows = (marks == 0) & ~skeletonize(dense == 0)
    assert not rows[0, 16:44].any()
    assert (marks[24, 20:40] == 0).all()


@pytest.mark.parametrize("shape", [(60, 90), (1, 1), (2, 5)])
def test_hull_crosses_a_slice_without_organs_with_four_lines(shape):
    marks = hull(np.zeros(shape, dtype=np.uint8), rng())
    expected = np.full(shape, IGNORE, dtype=np.uint8)
    for part in (1, 2):
        expected[shape[0] * part // 3] = 0
        expected[:, shape[1] * part // 3] = 0
    assert (marks == expected).all()


def test_hull_leaves_what_is_unknown_alone():
    dense = np.zeros((60, 90), dtype=np.uint8)
    dense[:, 20:] = IGNORE
    dense[20:41] = IGNORE
    marks = hull(dense, rng())
    assert (marks[dense == IGNORE] == IGNORE).all()
    assert (marks == 0).any()
