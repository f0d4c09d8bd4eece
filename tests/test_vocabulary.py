"""Errors and strokes: what every layer shares."""

import pickle

import numpy as np
import pytest

from pointillist.errors import DamagedFileError, GeometryError
from pointillist.types import IGNORE, Stroke


def test_a_message_says_what_where_expected_received_and_what_to_do():
    error = DamagedFileError("it is cut", where="a.nii", expected="10 bytes", received="9", todo="copy it again")
    assert str(error).splitlines() == [
        "it is cut",
        "  where:      a.nii",
        "  expected:   10 bytes",
        "  received:   9",
        "  what to do: copy it again",
    ]
    assert str(GeometryError("bare")) == "bare"


def test_errors_cross_processes():
    error = pickle.loads(pickle.dumps(GeometryError("wrong", where="x", expected=(1, 2), received=3, todo="mend it")))
    assert type(error) is GeometryError
    assert str(error) == str(GeometryError("wrong", where="x", expected="(1, 2)", received="3", todo="mend it"))


@pytest.mark.parametrize(
    ("cls", "points", "width", "message"),
    [
        (0, np.zeros(2), 1, "shape"),
        (0, np.zeros((0, 2)), 1, "shape"),
        (0, np.zeros((1, 4)), 1, "shape"),
        (0, np.array([[0, np.nan]]), 1, "finite"),
        (0, np.array([[0, 0, 1.0], [0, 0, 2.0]]), 1, "one slice"),
        (0, np.array([[0, 0, 0.5]]), 1, "one slice"),
        (-1, np.zeros((1, 2)), 1, "class"),
        (IGNORE + 1, np.zeros((1, 2)), 1, "class"),
        (0, np.zeros((1, 2)), 0, "width"),
        (0, np.zeros((1, 2)), np.inf, "width"),
    ],
)
def test_a_stroke_that_cannot_be_is_refused(cls, points, width, message):
    with pytest.raises(ValueError, match=message):
        Stroke(cls, points, width)


def test_strokes_are_values():
    points = np.array([[1.0, 2.0]])
    stroke = Stroke(1, points, author="ana")
    points[0] = 9
    assert stroke.points.tolist() == [[1.0, 2.0]]
    assert stroke == Stroke(1, np.array([[1.0, 2.0]]), author="ana")
    assert stroke != Stroke(1, np.array([[1.0, 3.0]]), author="ana")
    assert stroke != "a stroke"
    with pytest.raises(ValueError, match="read-only"):
        stroke.points[0] = 0
