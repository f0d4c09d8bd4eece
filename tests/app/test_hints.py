"""Hints say the one or two things that help most, and nothing once all is well."""

import pytest

from pointillist.app.hints import hints

CLASSES = ("background", "RV", "LV")
HEALTHY = {
    "marked": [50, 9, 9],
    "slices": 10,
    "unmarked_slices": 4,
    "background_slices": 2,
    "contradictory": 0,
    "outside": [],
}


def said(others=(True, True, True), **changes):
    return hints(HEALTHY | changes, CLASSES, others)


def test_healthy_marks_need_no_hint():
    assert said() == []
    assert hints(None, CLASSES, (False,) * 3) == []


@pytest.mark.parametrize(
    ("changes", "text", "action"),
    [
        ({"marked": [0, 0, 0]}, "Click each structure once", {"class": 1}),
        ({"marked": [0, 5, 5]}, "Mark background", {"class": 0}),
        ({"marked": [5, 5, 0], "others": (True, True, False)}, "Mark LV", {"class": 2}),
        ({"unmarked_slices": 9}, "1 of 10 hold marks", None),
        ({"background_slices": 0}, "background alone", {"class": 0}),
        ({"contradictory": 3}, "3 pixels", None),
        ({"outside": [1, 2]}, "2 strokes", None),
    ],
)
def test_each_thing_that_is_wrong(changes, text, action):
    (one,) = said(**changes)
    assert text in one["what"]
    assert one.get("action") == action
    assert len(one["why"]) > 10


def test_a_class_that_other_images_have_may_be_absent_here():
    assert said(marked=[5, 5, 0]) == []


def test_pictures_have_no_slices_to_hint_at():
    assert said(slices=1, unmarked_slices=0, background_slices=0) == []
