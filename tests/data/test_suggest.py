"""Where to click next: the score as it is defined, and what it must do."""

import math

import numpy as np
import pytest
from scipy import ndimage

from pointillist.data import suggest
from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_marked, write_marked
from pointillist.data.phantoms import make_phantoms
from pointillist.data.readers import read_image
from pointillist.data.suggest import Suggestion, slice_suggestion, suggestions
from pointillist.data.writers import write_image, write_label
from pointillist.errors import DatasetError
from pointillist.types import IGNORE, Stroke

SIZE = 100  # σ = 2, ρ = 4


def places_of(*planes):
    return slice_suggestion(*planes)[1]


def blank(shape=(SIZE, SIZE)):
    return np.full(shape, IGNORE, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape)


def spot(row, column, radius=6, shape=(SIZE, SIZE)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - row, columns - column) <= radius


def test_the_score_is_the_equation():
    rng = np.random.default_rng(0)
    marks, predicted, doubt = blank()
    doubt, predicted = rng.random(doubt.shape), rng.integers(0, 3, predicted.shape).astype(np.uint8)
    differs = rng.random(doubt.shape) < 0.3
    marks[20, 30] = predicted[20, 30]
    marks[70, 60] = (predicted[70, 60] + 1) % 3
    rows, columns = np.indices(doubt.shape)
    nearest = np.minimum(np.hypot(rows - 20, columns - 30), np.hypot(rows - 70, columns - 60))
    wrong = np.exp(-((rows - 70) ** 2 + (columns - 60) ** 2) / (2 * 4**2))
    for other, raw in ((None, doubt), (differs, (doubt + differs) / 2)):
        smooth = ndimage.gaussian_filter(np.maximum(raw, wrong), 2, mode="nearest")
        score = (1 - np.exp(-(nearest**2) / (2 * 4**2))) * smooth
        mean, (best, *_) = slice_suggestion(marks, predicted, doubt, other)
        assert math.isclose(mean, score.mean())
        assert math.isclose(best.score, score.max())
        assert score[best.row, best.column] == pytest.approx(score.max())
        assert best.cls == predicted[best.row, best.column]


def test_a_blob_of_doubt_goes_before_a_thin_border_of_it():
    marks, predicted, doubt = blank()
    doubt[:, 50] = 1
    doubt[spot(30, 20)] = 0.8
    assert spot(30, 20, 2)[places_of(marks, predicted, doubt)[0].row, places_of(marks, predicted, doubt)[0].column]


def test_a_mark_sends_the_next_click_elsewhere():
    marks, predicted, doubt = blank()
    doubt[spot(30, 20)], doubt[spot(70, 70)] = 1, 0.8
    first = places_of(marks, predicted, doubt)[0]
    assert spot(30, 20, 2)[first.row, first.column]
    marks[first.row, first.column] = 0
    second = places_of(marks, predicted, doubt)[0]
    assert spot(70, 70, 2)[second.row, second.column]


def test_a_mark_that_the_prediction_contradicts_draws_clicks_near_it():
    marks, predicted, doubt = blank()
    marks[40, 40] = 1
    (*_, place) = places_of(marks, predicted, doubt)[:1]
    assert 3 < math.hypot(place.row - 40, place.column - 40) < 12
    marks[40, 40] = 0
    assert places_of(marks, predicted, doubt) == []


def test_where_nothing_is_in_doubt_there_is_nothing_to_click():
    assert places_of(*blank()) == []


def test_large_images_are_looked_at_in_blocks_and_places_lie_on_them(monkeypatch):
    monkeypatch.setattr(suggest, "_SIDE", 50)
    marks, predicted, doubt = blank((203, 197))
    doubt[spot(101, 57, 12, doubt.shape)] = 1
    predicted[spot(101, 57, 12, doubt.shape)] = 2
    best = places_of(marks, predicted, doubt)[0]
    assert math.hypot(best.row - 101, best.column - 57) < 6
    assert best.cls == 2


def test_a_case_counts_the_mean_over_its_slices():
    assert Suggestion("a", (0.9, 0.1, 0.5), ()).score == pytest.approx(0.5)
    assert Suggestion("a", (), ()).score == 0


def test_much_doubt_goes_before_a_little_great_doubt():
    marks, predicted, doubt = blank()
    little, much = doubt.copy(), doubt.copy()
    little[spot(30, 20)] = 1
    much[spot(30, 20, 25)] = 0.6
    assert slice_suggestion(marks, predicted, much)[0] > 2 * slice_suggestion(marks, predicted, little)[0]


@pytest.fixture
def predicted(tmp_path):
    """Two cases of a phantom; the second is in doubt in one slice, and another run differs in the first."""
    dataset = Dataset.open(make_phantoms(tmp_path / "D", training=1, testing=0, seed=1))
    for number, case in enumerate(dataset.training):
        write_marked(dataset, case, type(read_marked(dataset, case))(read_marked(dataset, case).image, None, ()))
        grid = dataset.sparse_labels(case).grid
        doubt = np.zeros(grid.shape, np.float32)
        doubt[10:20, 30:40, 2] = number
        for run in ("one", "two"):
            labels = np.zeros(grid.shape, np.uint8)
            labels[40:50, 5:15, 1] = run == "two" and number == 0
            write_label(tmp_path / run / f"{case.id}.nii.gz", labels, grid)
            write_image(tmp_path / run / "uncertainty" / f"{case.id}.nii.gz", doubt, grid)
    return dataset, tmp_path


def test_cases_and_slices_are_read_from_what_predict_writes(predicted):
    dataset, folder = predicted
    calm, doubtful = suggestions(dataset, folder / "one")
    assert (calm.places, calm.score) == ((), 0)
    best = doubtful.places[0]
    assert doubtful.score == pytest.approx(doubtful.slices[2] / len(doubtful.slices))
    assert best.slice == 2
    assert 10 <= best.row < 20
    assert 30 <= best.column < 40
    first, second = suggestions(dataset, folder / "one", folder / "two")
    assert first.places[0].slice == 1
    assert 40 <= first.places[0].row < 50
    assert second.places[0].score == pytest.approx(best.score / 2)


def test_strokes_count_as_marks(predicted):
    dataset, folder = predicted
    case = dataset.training[1]
    before = list(suggestions(dataset, folder / "one"))[1]
    place = before.places[0]
    marked = read_marked(dataset, case)
    stroke = Stroke(0, np.array([[place.row, place.column, place.slice]], dtype=float), 3)
    write_marked(dataset, case, type(marked)(marked.image, None, (stroke,)))
    after = list(suggestions(dataset, folder / "one"))[1]
    assert after.score < before.score
    assert after.places[0].score < place.score / 2


def test_places_come_slice_by_slice(predicted):
    dataset, folder = predicted
    case = dataset.training[1]
    path = folder / "one" / "uncertainty" / f"{case.id}.nii.gz"
    image = read_image(path)
    doubt = image.array.copy()
    doubt[40:45, 40:45, 0] = 1  # surely in doubt, but in one place
    doubt[30:34, 5:60, 2] = 0.7
    write_image(path, doubt, image.grid)
    found = list(suggestions(dataset, folder / "one"))[1]
    slices = [place.slice for place in found.places]
    assert slices == [2] * slices.count(2) + [0]
    for number in (0, 2):
        scores = [place.score for place in found.places if place.slice == number]
        assert scores == sorted(scores, reverse=True)


def test_predictions_without_uncertainty_are_refused(predicted):
    dataset, folder = predicted
    with pytest.raises(DatasetError, match="predicted with its uncertainty"):
        list(suggestions(dataset, folder / "none"))
