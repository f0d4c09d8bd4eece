import numpy as np
import pytest

from pointillist.errors import InputError
from pointillist.geometry.objects import ObjectRules, objects_of

RING = np.zeros((12, 12), np.uint8)
RING[1:9, 1:9] = 1
RING[3:7, 3:7] = 0  # a hole of 16 pixels


def test_a_hole_is_filled_up_to_the_stated_size():
    for most, filled in ((None, True), (16, True), (15, False), (0, False)):
        numbers, classes = objects_of(RING, ObjectRules(1, most))
        assert classes == (1,)
        assert (numbers[4, 4] == 1) is np.bool_(filled)
        assert (numbers > 0).sum() == (64 if filled else 48)


def test_another_class_in_a_hole_stays_what_it_is_and_specks_do_not():
    labels = RING.copy()
    labels[4, 4:6] = 2
    labels[5, 5] = 1
    numbers, classes = objects_of(labels, ObjectRules(2))
    assert classes == (1, 2)
    assert (numbers == 2).sum() == 2
    assert (numbers == 1).sum() == 62  # the speck of class 1 and the background around it are filled
    numbers, classes = objects_of(np.array([0, 2, 1], np.uint8)[labels], ObjectRules(2))
    assert [(numbers == number).sum() for number in (1, 2)] == [2, 62]


def test_components_touch_over_corners_and_small_ones_are_dropped():
    labels = np.zeros((6, 6), np.uint8)
    labels[[0, 1, 4], [0, 1, 4]] = 3
    numbers, classes = objects_of(labels, ObjectRules(2))
    assert classes == (3,)
    assert np.argwhere(numbers).tolist() == [[0, 0], [1, 1]]
    assert objects_of(labels, ObjectRules(1))[1] == (3, 3)


def test_holes_are_separate_where_they_touch_over_a_corner():
    labels = np.ones((6, 6), np.uint8)
    labels[[2, 3], [2, 3]] = 0
    assert (objects_of(labels, ObjectRules(1, 1))[0] == 1).all()


def test_nothing_is_no_object():
    numbers, classes = objects_of(np.zeros((4, 4), np.uint8), ObjectRules())
    assert not numbers.any()
    assert classes == ()


@pytest.mark.parametrize("rules", [(-1, None), (0, -1)])
def test_negative_areas_are_refused(rules):
    with pytest.raises(InputError, match="negative"):
        ObjectRules(*rules)
