"""Suggestions as the page gets them: ranked, without what was clicked since."""

import os
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from pointillist.app.runs import SUGGESTIONS
from pointillist.app.suggest import DEFINITION, unclicked
from pointillist.app.suggesting import write_suggestions
from pointillist.data.dataset import Dataset
from pointillist.data.marked import read_marked, write_marked
from pointillist.data.phantoms import make_phantoms
from tests.app.served import add_run, served


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = make_phantoms(tmp_path_factory.mktemp("suggest") / "D", training=1, testing=0, seed=1)
    dataset = Dataset.open(root)
    for case in dataset.training:
        marked = read_marked(dataset, case)
        write_marked(dataset, case, type(marked)(marked.image, None, ()))
    return root


def doubtful(slices, cls=0):
    """Two spots of doubt in so many slices of the first case that is asked for, and in no other."""
    left = [slices, 0]

    def found(labels):
        doubt, classes = np.zeros(labels.grid.shape), np.full(labels.grid.shape, cls, np.uint8)
        count = left.pop(0)
        doubt[10:20, 10:20, :count] = 1
        doubt[40:50, 40:50, :count] = 0.9
        return classes, doubt

    return found


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    suggesting_run(runs, "one", root)
    suggesting_run(runs, "two", root, cls=1)
    return runs


def suggesting_run(runs, name, root, cls=0):
    dataset = Dataset.open(root)
    run = add_run(runs, name, dataset, doubtful(2, cls))
    write_suggestions(dataset, predictions=run / "predictions", target=run / "predictions" / SUGGESTIONS)
    return run


@pytest.fixture(scope="module")
def client(root, runs):
    """One server for all tests; those that change a run have one of their own."""
    with served(root, runs) as client:
        yield client


def test_cases_are_ranked_and_places_are_pixels(client, root):
    first, second = (case.id for case in Dataset.open(root).training)
    found = client.get("/api/suggestions", run="one")
    assert found["definition"] == DEFINITION
    assert [one["id"] for one in found["cases"]] == [first, second]
    assert found["cases"][0]["score"] > found["cases"][1]["score"] == 0
    places = found["places"][first]
    by_slice = {number: [place for place in places if place["slice"] == number] for number in (0, 1)}
    assert places in (by_slice[0] + by_slice[1], by_slice[1] + by_slice[0])
    for found_there in by_slice.values():
        assert {place["row"] // 10 for place in found_there} >= {1, 4}
        scores = [place["score"] for place in found_there]
        assert scores == sorted(scores, reverse=True)
    best = places[0]
    assert 10 <= best["row"] < 20
    assert 10 <= best["col"] < 20
    assert (best["slice"] in (0, 1), best["class"]) == (True, 0)
    assert second not in found["places"]


def test_a_place_that_was_clicked_goes_and_its_case_sinks(client, root, runs):
    run = suggesting_run(runs, "clicked", root)
    case = Dataset.open(root).training[0].id
    before = client.get("/api/suggestions", run="clicked")
    place = before["places"][case][0]
    now = datetime.now(UTC).isoformat()
    stroke = {"id": "s1", "class": 1, "points": [[place["row"], place["col"], place["slice"]]], "width_px": 1}
    op = {"op": "draw", "id": "o1", "stroke": stroke | {"time": now, "author": None}}
    status, answer = client.ask("POST", f"/api/cases/{case}/ops", {"ops": [op]})
    assert status == 200, answer
    after = client.get("/api/suggestions", run="clicked")
    assert after["places"][case] == before["places"][case][1:]
    assert after["cases"][0]["score"] < before["cases"][0]["score"]
    os.utime(run / "predictions" / SUGGESTIONS, (time.time() + 60,) * 2)  # as if they were made after the stroke
    assert place in client.get("/api/suggestions", run="clicked")["places"][case]
    client.ask("POST", f"/api/cases/{case}/ops", {"ops": [{"op": "remove", "id": "o2", "ids": ["s1"]}]})


@pytest.mark.slow
def test_two_runs_that_differ_everywhere_make_every_case_worth_a_click(client, root, runs):
    second = Dataset.open(root).training[1].id
    scores = {one["id"]: one["score"] for one in client.get("/api/suggestions", run="one", other="two")["cases"]}
    assert scores[second] == pytest.approx(0.5, abs=0.01)
    path = runs / "one" / "app" / "suggestions-two.json"
    predicted = [runs / name / "predictions" / SUGGESTIONS for name in ("one", "two")]
    now = int(time.time())
    for one in predicted:
        os.utime(one, (now - 20, now - 20))
    os.utime(path, (now - 10, now - 10))
    client.get("/api/suggestions", run="one", other="two")
    assert path.stat().st_mtime == now - 10
    os.utime(predicted[1], (now - 10, now - 10))  # it predicted anew, within one tick of the file system's clock
    client.get("/api/suggestions", run="one", other="two")
    assert path.stat().st_mtime > now - 10


def test_a_run_without_predictions_has_no_suggestions(client, root, runs):
    (suggesting_run(runs, "none", root) / "predictions" / SUGGESTIONS).unlink()
    assert client.ask("GET", "/api/suggestions", run="none")[0] == 404
    assert client.ask("GET", "/api/suggestions", run="two", other="none")[0] == 404
    assert client.ask("GET", "/api/suggestions")[0] == 404


def test_only_strokes_of_the_same_slice_and_near_count():
    places = [
        {"row": 10, "col": 10, "slice": 0},
        {"row": 10, "col": 10, "slice": 1},
        {"row": 50, "col": 10, "slice": 0},
    ]
    assert unclicked(places, [[[11, 12, 0]]], (100, 100, 5)) == places[1:]
    flat = [{"row": 10, "col": 10, "slice": None}, {"row": 10, "col": 16, "slice": None}]
    assert unclicked(flat, [[[9, 10], [50, 50]]], (100, 100)) == flat[1:]
