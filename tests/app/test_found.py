"""Segmentations go out as ``predict --as`` writes them, from what the run has already found."""

import io
import json
import zipfile

import imagecodecs
import nibabel as nib
import numpy as np
import pytest

from pointillist.app.runs import PREDICTIONS, SUGGESTIONS
from pointillist.data.dataset import Dataset
from pointillist.data.phantoms import make_phantoms
from pointillist.data.writers import write_json, write_label
from tests.app.marking import pictures
from tests.app.served import add_run, served

KINDS = ("png", "tiff", "geojson")


def unpacked(content):
    archive = zipfile.ZipFile(io.BytesIO(content))
    return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def labels():
    """A square of class 2, from row 3 and column 5 on."""
    labels = np.zeros((40, 50), np.uint8)
    labels[3:23, 5:25] = 2
    return labels


@pytest.fixture(scope="module")
def client(labels, tmp_path_factory):
    """A server of pictures of which run one has segmented the first, and run two none yet."""
    folder = tmp_path_factory.mktemp("found")
    for run in ("one", "two"):
        write_json(folder / "runs" / run / "run.json", {})
    predictions = folder / "runs" / "one" / PREDICTIONS
    write_label(predictions / "pic0.png", labels, None)
    write_json(predictions / SUGGESTIONS, {})
    with served(pictures(folder / "D", shape=labels.shape).root, folder / "runs") as client:
        yield client


def test_pictures_go_out_as_png_tiff_and_geojson(client, labels):
    files = {kind: unpacked(client.get("/api/runs/one/segmentations", **{"as": kind})) for kind in KINDS}
    assert [list(one) for one in files.values()] == [["pic0.png"], ["pic0.tif"], ["pic0.geojson"]]
    assert (imagecodecs.png_decode(files["png"]["pic0.png"]) == labels).all()
    assert (imagecodecs.imread(files["tiff"]["pic0.tif"]) == labels).all()
    (square,) = json.loads(files["geojson"]["pic0.geojson"])["features"]
    assert square["properties"]["classification"]["name"] == "tumour"
    ring = np.array(square["geometry"]["coordinates"][0])
    assert (ring.min(axis=0).tolist(), ring.max(axis=0).tolist()) == ([5, 3], [25, 23])  # x, y of the corners


@pytest.mark.parametrize("kind", ["nifti", "dicom", "", "../png"])
def test_kinds_that_cannot_hold_pictures_are_refused(client, kind):
    status, content = client.ask("GET", "/api/runs/one/segmentations", **{"as": kind})
    assert (status, content["error"]["expected"]) == (400, ", ".join(KINDS))


@pytest.mark.parametrize("run", ["two", "none"])
def test_a_run_that_has_found_nothing_yet_says_so(client, run):
    assert client.ask("GET", f"/api/runs/{run}/segmentations", **{"as": "png"})[0] == 404


def test_volumes_go_out_as_nifti_on_the_grid_of_their_image(tmp_path):
    root = make_phantoms(tmp_path / "V", training=1, testing=0, seed=1)
    dataset = Dataset.open(root)
    run = add_run(tmp_path / "runs", "one", dataset, lambda labels: (labels.array // 2, labels.array * 0.0))
    write_json(run / PREDICTIONS / SUGGESTIONS, {})
    with served(root, tmp_path / "runs") as client:
        files = unpacked(client.get("/api/runs/one/segmentations", **{"as": "nifti"}))
    assert sorted(files) == [f"{case.id}.nii.gz" for case in dataset.training]
    for case in dataset.training:
        (tmp_path / "one.nii.gz").write_bytes(files[f"{case.id}.nii.gz"])
        sent, image = nib.load(tmp_path / "one.nii.gz"), nib.load(case.images[0])
        assert np.allclose(sent.affine, image.affine)
        assert (sent.get_fdata() == nib.load(run / PREDICTIONS / f"{case.id}.nii.gz").get_fdata()).all()
