"""Predictions as objects: label images and GeoJSON, resumable and whole as every other output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as Pillow

from pointillist.data.readers import read_label
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.protocol import Protocol
from pointillist.geometry.objects import ObjectRules, objects_of
from pointillist.predict.cases import find_cases
from pointillist.predict.predictor import Predictor
from pointillist.predict.stream import MANIFEST, Output, predict_stream
from tests.conftest import nuclei, save_nifti
from tests.predict.nets import ByBrightness, described

MODEL = Predictor(
    ByBrightness(2),
    described(classes=("background", "nucleus"), grid="native", normalisation="unit", sha256="a" * 64),
    precision="fp32",
)


def run(inputs, out, **output):
    return list(predict_stream(MODEL, find_cases([inputs], 1), out, Output(**output)))


@pytest.fixture
def pictures(tmp_path):
    """Three discs on a dark ground, one of them with a hole, and a speck."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(2):
        image, _ = nuclei(seed)
        grey = image[..., 0].copy()
        grey[16, 16], grey[50:52, 3:5] = 0, 255
        Pillow.fromarray(grey).save(folder / f"n{seed}.png")
    return folder


def test_objects_are_numbered_in_a_folder_of_their_own(pictures, tmp_path):
    out = tmp_path / "out"
    (first, _) = run(pictures, out, instances=True)
    assert first.files == ("instances/n0.png", "n0.png")
    labels, numbers = read_label(out / "n0.png").array, read_label(out / "instances" / "n0.png").array
    assert (numbers == objects_of(labels, ObjectRules())[0]).all()
    assert numbers.max() == 3
    assert labels[16, 16] == 0
    assert numbers[16, 16] > 0
    assert labels[50, 3] == 1
    assert numbers[50, 3] == 0
    rows = evaluate_folder(out / "instances", out / "instances", Protocol(), instances=True).rows
    assert {row.value for row in rows if row.metric == "aji"} == {1.0}


def test_geojson_takes_the_place_of_labels_and_is_kept(pictures, tmp_path):
    out = tmp_path / "out"
    assert [outcome.files for outcome in run(pictures, out, kind="geojson")] == [("n0.geojson",), ("n1.geojson",)]
    content = json.loads((out / "n0.geojson").read_text())
    assert len(content["features"]) == 3
    assert {one["properties"]["classification"]["name"] for one in content["features"]} == {"nucleus"}
    before = (out / "n0.geojson").read_bytes()
    assert {outcome.status for outcome in run(pictures, out, kind="geojson")} == {"kept"}
    (out / "n0.geojson").write_bytes(before[:100])
    assert [outcome.status for outcome in run(pictures, out, kind="geojson")] == ["predicted", "kept"]
    assert (out / "n0.geojson").read_bytes() == before


def test_other_rules_make_other_objects(pictures, tmp_path):
    out = tmp_path / "out"
    run(pictures, out, kind="geojson")
    rules = ObjectRules(4, 0)
    assert {outcome.status for outcome in run(pictures, out, kind="geojson", rules=rules)} == {"predicted"}
    features = json.loads((out / "n0.geojson").read_text())["features"]
    assert len(features) == 4
    assert [len(one["geometry"]["coordinates"]) for one in features] == [2, 1, 1, 1]


def test_a_volume_has_no_objects(tmp_path):
    save_nifti(tmp_path / "scans" / "a.nii.gz", np.zeros((20, 24, 3), np.int16))
    for output, what in (({"kind": "geojson"}, "cannot be written"), ({"instances": True}, "2-D images alone")):
        (outcome,) = run(tmp_path / "scans", tmp_path / "out", **output)
        assert outcome.status == "failed"
        assert what in outcome.error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["dataset.json", MANIFEST]
