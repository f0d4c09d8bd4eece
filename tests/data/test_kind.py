from __future__ import annotations

import numpy as np
import pytest

from pointillist.data.builder import DatasetBuilder, NewCase
from pointillist.data.dataset import Dataset
from pointillist.data.image import Grid, Image
from pointillist.data.kind import LOOKED_AT, kind_of
from pointillist.errors import InputError
from pointillist.spec import TaskSpec
from pointillist.types import Stroke

HEART = TaskSpec(("background", "heart"), ("MRI",))
COLOUR = TaskSpec(("background", "gland"), ("R", "G", "B"))
POINTS = [Stroke(0, np.array([[2.0, 2.0]])), Stroke(1, np.array([[20.0, 20.0]]), width_px=3)]
LINE = Stroke(1, np.array([[8.0, 8.0], [8.0, 24.0]]))


def dots(n):
    return [Stroke(1, np.array([[4.0 + 6 * (i // 6), 4.0 + 6 * (i % 6)]])) for i in range(n)]


def dataset(root, cases, spec):
    """2-D images of 40², each with its strokes."""
    shape = (40, 40) if len(spec.channels) == 1 else (40, 40, 3)
    with DatasetBuilder(root, name="D", spec=spec, ending=".png", kind="test") as builder:
        for number, strokes in enumerate(cases):
            image = Image(np.full(shape, number, np.uint8), Grid((40, 40)), "made")
            builder.add(NewCase(f"c{number:03d}", image, f"g{number}", strokes=tuple(strokes)))
        builder.finish([], ())
    return Dataset.open(root)


@pytest.mark.parametrize(
    ("cases", "spec", "expected"),
    [
        ([POINTS] * 3, HEART, ("points", "organs")),
        ([POINTS] * 3, COLOUR, ("points", "tissue")),
        ([[*POINTS, LINE]] * 3, COLOUR, ("scribbles", "tissue")),
        ([POINTS, POINTS, [LINE]], HEART, ("points", "organs")),
        ([POINTS, [LINE], [LINE]], HEART, ("scribbles", "organs")),
        ([dots(12)] * 2, HEART, ("points", "nuclei")),
        ([dots(11)] * 2, HEART, ("points", "organs")),
        ([dots(12)] * 2, COLOUR, ("points", "nuclei")),
        ([[], [], POINTS], HEART, ("points", "organs")),  # unmarked images do not vote
    ],
)
def test_marks_and_images(tmp_path, cases, spec, expected):
    found = kind_of(dataset(tmp_path / "D", cases, spec))
    assert (found.marks, found.images) == expected
    assert (found.slices, found.looked_at) == (len(cases), len(cases))


def test_held_out_cases_are_not_looked_at(tmp_path):
    made = dataset(tmp_path / "D", [POINTS, [LINE], [LINE]], HEART)
    assert kind_of(made).marks == "scribbles"
    found = kind_of(made, ["c000"])
    assert (found.marks, found.looked_at, found.slices) == ("points", 1, 1)


def test_of_many_cases_some_are_looked_at(tmp_path):
    found = kind_of(dataset(tmp_path / "D", [POINTS] * (2 * LOOKED_AT + 1), HEART))
    assert found.looked_at == 17  # every third
    assert found.slices == 2 * LOOKED_AT + 1


@pytest.mark.parametrize("allowed", [None, ()])
def test_where_nothing_is_marked_nothing_is_guessed(tmp_path, allowed):
    cases = [POINTS] if allowed is not None else [[], []]
    with pytest.raises(InputError, match="nothing is marked"):
        kind_of(dataset(tmp_path / "D", cases, HEART), allowed)
