"""The simulated annotator clicks what is there, and is the only one who knows."""

import numpy as np
import pytest

from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.data.simulate.annotator import Annotator
from pointillist.data.simulate.dataset import unmarked_copy
from pointillist.types import IGNORE


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return Dataset.open(make_phantoms(tmp_path_factory.mktemp("annotator") / "D", training=2, testing=1, seed=1))


@pytest.fixture(scope="module")
def blank(source, tmp_path_factory):
    return unmarked_copy(source, tmp_path_factory.mktemp("annotator") / "blank")


def truth_at(dataset, case, stroke):
    row, column, number = (int(n) for n in stroke.points[0])
    return dataset.dense_labels(case).array[row, column, number]


def test_an_unmarked_copy_holds_images_and_truth_and_no_mark(source, blank):
    assert [case.id for case in blank.training] == [case.id for case in source.training]
    assert [case.group for case in blank.testing] == [case.group for case in source.testing]
    for one, other in zip(source.training, blank.training, strict=True):
        assert (blank.sparse_labels(other).array == IGNORE).all()
        assert blank.read_marks(other) is None
        assert np.array_equal(source.image(one).array, blank.image(other).array)
        assert np.array_equal(source.dense_labels(one).array, blank.dense_labels(other).array)


def test_it_clicks_the_true_class_where_it_is_told_to(blank):
    case = blank.training[0]
    truth = blank.dense_labels(case).array
    places = [tuple(int(n) for n in place) for place in np.argwhere(truth >= 0)[:: truth.size // 50]]
    strokes = Annotator(blank, 1).at(case, places)
    assert [tuple(stroke.points[0]) for stroke in strokes] == places
    assert [stroke.cls for stroke in strokes] == [truth[place] for place in places]
    assert {stroke.cls for stroke in strokes} > {0}


def test_where_there_is_no_truth_it_does_not_click(blank, monkeypatch):
    class Unknown:
        def __init__(self, labels):
            self.grid, self.array = labels.grid, np.full_like(labels.array, IGNORE)

    known = Dataset.dense_labels
    monkeypatch.setattr(Dataset, "dense_labels", lambda self, case: Unknown(known(self, case)))
    assert Annotator(blank, 1).at(blank.training[0], [(1, 2, 0)]) == []


def test_first_clicks_are_one_for_each_class_that_is_there(blank):
    case = blank.training[0]
    strokes = Annotator(blank, 1).one_a_class(case, 2)
    present = np.unique(blank.dense_labels(case).array[:, :, 2])
    assert [stroke.cls for stroke in strokes] == present.tolist()
    assert all(truth_at(blank, case, stroke) == stroke.cls for stroke in strokes)
    assert all(stroke.points[0, 2] == 2 for stroke in strokes)


def test_random_clicks_take_every_class_as_often_and_depend_on_seed_place_and_purpose(blank):
    case = blank.training[0]
    strokes = Annotator(blank, 1).random(case, 2, 400, "round 1")
    assert all(truth_at(blank, case, stroke) == stroke.cls for stroke in strokes)
    present = np.unique(blank.dense_labels(case).array[:, :, 2])
    counts = np.bincount([stroke.cls for stroke in strokes], minlength=4)
    assert (np.abs(counts[present] - 400 / len(present)) < 50).all()
    assert Annotator(blank, 1).random(case, 2, 400, "round 1") == strokes
    others = [Annotator(blank, 2).random(case, 2, 400, "round 1"), Annotator(blank, 1).random(case, 2, 400, "round 2")]
    assert all(other != strokes for other in others)
