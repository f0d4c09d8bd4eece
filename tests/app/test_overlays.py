"""Predictions as tiles: read once from what predict wrote, transparent where there is nothing to show."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from pointillist.app.overlays import encode_difference, encode_found, encode_uncertainty
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.data.readers import read_label
from pointillist.data.writers import write_label
from tests.app.served import add_run, served

COLOURS = ("#000000", "#ff0000", "#00ff00", "#0000ff")


def test_background_is_transparent_and_classes_have_their_colour():
    tile = encode_found(np.array([[0, 1], [2, 3]], np.uint8), COLOURS)
    assert tile.tolist() == [[[0, 0, 0, 0], [255, 0, 0, 255]], [[0, 255, 0, 255], [0, 0, 255, 255]]]


def test_uncertainty_is_the_opacity():
    tile = encode_uncertainty(np.array([[0, 128, 255]], np.uint8))
    assert tile[0, :, 3].tolist() == [0, 128, 255]
    assert len({tuple(pixel) for pixel in tile[0, :, :3].tolist()}) == 1


def test_a_difference_shows_what_this_run_says_background_included():
    tile = encode_difference(np.array([[0, 1, 2]], np.uint8), np.array([[1, 1, 0]], np.uint8), COLOURS)
    assert tile.tolist() == [[[128, 128, 128, 255], [0, 0, 0, 0], [0, 255, 0, 255]]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_phantoms(tmp_path_factory.mktemp("overlays") / "D", training=1, testing=0, seed=1)


def corner(cls, doubt):
    def found(labels):
        classes = np.zeros(labels.grid.shape, np.uint8)
        classes[3:9, 5:20, 1] = cls
        return classes, np.where(classes > 0, doubt, 0.0)

    return found


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    add_run(runs, "one", Dataset.open(root), corner(2, 0.5))
    add_run(runs, "two", Dataset.open(root), corner(3, 1.0))
    return runs


@pytest.fixture(scope="module")
def client(root, runs):
    """One server for all tests; those that change a run have one of their own."""
    with served(root, runs) as client:
        yield client


def tile(client, run, case, where="2/1/0/0_0", **query):
    return np.array(Image.open(io.BytesIO(client.get(f"/api/runs/{run}/overlay/{case}/{where}", **query))))


def test_tiles_lie_where_the_prediction_does(client, root):
    case = Dataset.open(root).training[0].id
    classes = tile(client, "one", case, what="classes")
    assert np.argwhere(classes[..., 3] > 0).min(0).tolist() == [3, 5]
    assert np.argwhere(classes[..., 3] > 0).max(0).tolist() == [8, 19]
    assert not tile(client, "one", case, "2/0/0/0_0")[..., 3].any()
    assert tile(client, "one", case, what="uncertainty")[4, 6, 3] == 128
    different = tile(client, "one", case, what="difference", other="two")
    assert (different[..., 3] > 0).sum() == 6 * 15
    assert (different[4, 6] == classes[4, 6]).all()
    across = tile(client, "one", case, "0/4/0/0_0")
    assert set(np.argwhere(across[..., 3] > 0)[:, 1].tolist()) == {1}  # columns of that plane are slices


def test_what_is_predicted_anew_is_shown(client, root, runs):
    run = add_run(runs, "anew", Dataset.open(root), corner(2, 0.5))
    case = Dataset.open(root).training[0]
    assert tile(client, "anew", case.id)[4, 6, 3] == 255
    path = run / "predictions" / f"{case.id}.nii.gz"
    image = read_label(path)
    write_label(path, image.array * 0, image.grid)
    assert tile(client, "anew", case.id)[4, 6, 3] == 0
    decoded = list((run / "app").glob(f"{case.id}.classes.*.image"))
    assert len(decoded) == 1


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("one/overlay/none/2/1/0/0_0", {}, 404),
        ("missing/overlay/CASE/2/1/0/0_0", {}, 404),
        ("one/overlay/CASE/2/99/0/0_0", {}, 404),
        ("one/overlay/CASE/2/1/0/9_9", {}, 404),
        ("one/overlay/CASE/2/1/0/0_0", {"what": "truth"}, 400),
        ("one/overlay/CASE/2/1/0/0_0", {"what": "difference"}, 404),
        ("one/overlay/CASE/2/1/0/0_0", {"what": "difference", "other": "../one"}, 404),
    ],
)
def test_what_there_is_not_is_said(client, root, path, query, status):
    case = Dataset.open(root).training[0].id
    found, answer = client.ask("GET", f"/api/runs/{path.replace('CASE', case)}", **query)
    assert (found, "what" in answer["error"]) == (status, True)


def test_a_case_that_was_not_predicted_is_said(client, root, runs):
    shutil.rmtree(add_run(runs, "none", Dataset.open(root), corner(2, 0.5)) / "predictions")
    case = Dataset.open(root).training[0].id
    assert client.ask("GET", f"/api/runs/none/overlay/{case}/2/1/0/0_0")[0] == 404
