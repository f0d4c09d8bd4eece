from __future__ import annotations

import csv
import io
import json

import nibabel
import numpy as np
import pytest
from PIL import Image as Pillow

import pointillist
from pointillist.errors import DamagedFileError, GeometryError, LabelError, PointillistError
from pointillist.evaluate.evaluation import evaluate_folder
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.summary import summarise
from pointillist.evaluate.table import COLUMNS, Evaluation, Row

MM = Protocol()


def write_volume(path, array, spacing=(1.5, 1.5, 10.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing, 1.0])), path)


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(array).save(path)


def cube(value=1, at=2):
    array = np.zeros((8, 8, 4), np.uint8)
    array[at : at + 3, 2:5, 1:3] = value
    return array


@pytest.fixture
def folders(tmp_path):
    """Two cases: one shifted by a pixel, one in which class 2 was missed; a reference without prediction."""
    predictions, reference = tmp_path / "predictions", tmp_path / "reference"
    write_volume(predictions / "a.nii.gz", cube(1, at=3))
    write_volume(reference / "a_gt.nii.gz", cube(1, at=2))
    write_volume(predictions / "b.nii.gz", cube(1))
    both = cube(1)
    both[6, 6, 3] = 2
    write_volume(reference / "b_gt.nii.gz", both)
    write_volume(reference / "c_gt.nii.gz", both)
    return predictions, reference


def table(evaluation):
    return {(row.case, row.cls, row.metric): row for row in evaluation.rows}


def test_classes_by_number_are_those_of_all_files(folders):
    evaluation = evaluate_folder(*folders, MM)
    rows = table(evaluation)
    assert {row.cls for row in evaluation.rows} == {"1", "2"}
    assert rows["a", "1", "dsc"].value == pytest.approx(2 / 3)
    assert rows["a", "1", "hd95_pooled"].value == pytest.approx(1.5)
    assert rows["a", "2", "dsc"].value == 1  # in neither file
    assert rows["b", "2", "dsc"].value == 0
    assert rows["b", "2", "hd95_pooled"].reason == "the prediction is empty"
    assert rows["b", "2", "hd95_pooled_bounded"].value == pytest.approx(np.linalg.norm([12, 12, 40]))
    assert evaluation.header["references_without_prediction"] == ["c_gt"]
    assert evaluation.header["classes"] == {"1": "1", "2": "2"}


def test_names_come_with_the_dataset(folders):
    predictions, reference = folders
    description = {"labels": {"background": 0, "RV": 1, "Myo": 2, "LV": 3}}
    (predictions / "dataset.json").write_text(json.dumps(description))
    evaluation = evaluate_folder(predictions, reference, MM)
    assert list(dict.fromkeys(row.cls for row in evaluation.rows)) == ["RV", "Myo", "LV"]
    assert evaluation.header["classes"] == {"1": "RV", "2": "Myo", "3": "LV"}
    one = evaluate_folder(predictions / "a.nii.gz", reference, MM)
    assert {row.cls for row in one.rows} == {"RV", "Myo", "LV"}


def test_a_part_of_a_dataset_is_named_by_the_dataset(folders):
    predictions, reference = folders
    description = {"labels": {"background": 0, "RV": 1, "Myo": 2}}
    (reference.parent / "dataset.json").write_text(json.dumps(description))
    assert {row.cls for row in evaluate_folder(predictions, reference, MM).rows} == {"RV", "Myo"}


def test_voxels_where_asked(folders):
    row = table(evaluate_folder(*folders, Protocol("voxel")))["a", "1", "hd95_pooled"]
    assert (row.value, row.unit) == (1, "voxel")


def test_flat_images_are_measured_in_pixels(tmp_path):
    for name, columns in (("p", slice(2, 5)), ("r", slice(4, 7))):
        array = np.zeros((9, 9), np.uint8)
        array[3:6, columns] = 1
        write_png(tmp_path / name / "x.png", array)
    row = table(evaluate_folder(tmp_path / "p", tmp_path / "r", MM))["x", "1", "hd95_pooled"]
    assert (row.value, row.unit) == (2, "voxel")


def test_the_header_says_what_was_computed(folders):
    header = evaluate_folder(*folders, Protocol(published="pclmix"), seed=7).header
    assert header["pointillist"] == pointillist.__version__
    assert header["published_rules"] == "pclmix"
    assert header["bootstrap"] == {"seed": 7, "resamples": 2000}
    assert (header["unit"], header["cases"]) == ("mm", 2)
    assert set(header["definitions"]) == {
        row.metric for row in evaluate_folder(*folders, Protocol(published="pclmix")).rows
    }


def test_repairs_are_reported_once_with_their_number(folders):
    predictions, reference = folders
    for path in (predictions / "a.nii.gz", predictions / "b.nii.gz"):
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(image.get_fdata().astype(np.float32), image.affine), path)
    (note,) = evaluate_folder(predictions, reference, MM).header["notes"]
    assert note["note"].startswith("whole-floats")
    assert note["files"] == 2


def test_instances(tmp_path):
    array = np.zeros((40, 40), np.uint8)
    array[5:15, 5:15], array[20:30, 20:30] = 1, 2
    write_png(tmp_path / "p" / "x.png", array)
    write_png(tmp_path / "r" / "x.png", array)
    evaluation = evaluate_folder(tmp_path / "p", tmp_path / "r", MM, instances=True)
    assert {row.metric: row.value for row in evaluation.rows} == pytest.approx(
        {"iou": 1, "mdice_strict": 1, "mdice_published": 1, "aji": 1}
    )
    assert evaluation.header["classes"] is None


def test_labels_without_anything_in_common_are_refused(tmp_path):
    write_png(tmp_path / "p" / "x.png", np.eye(4, dtype=np.uint8))
    write_png(tmp_path / "r" / "x.png", np.eye(4, dtype=np.uint8) * 255)
    with pytest.raises(LabelError, match="no class in common") as caught:
        evaluate_folder(tmp_path / "p", tmp_path / "r", MM)
    assert caught.value.expected == "labels of the references: [255]"


def test_nothing_but_background_is_refused(tmp_path):
    for name in ("p", "r"):
        write_png(tmp_path / name / "x.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(LabelError, match="no class in common"):
        evaluate_folder(tmp_path / "p", tmp_path / "r", MM)


def test_predictions_that_missed_everything_are_evaluated(tmp_path):
    write_png(tmp_path / "p" / "x.png", np.zeros((4, 4), np.uint8))
    write_png(tmp_path / "r" / "x.png", np.eye(4, dtype=np.uint8))
    assert table(evaluate_folder(tmp_path / "p", tmp_path / "r", MM))["x", "1", "dsc"].value == 0


def test_a_value_that_the_dataset_does_not_know_is_refused(folders):
    predictions, reference = folders
    (reference / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "RV": 1}}))
    (reference / "labelsTr").mkdir()
    for name in ("a_gt.nii.gz", "b_gt.nii.gz"):
        (reference / name).rename(reference / "labelsTr" / name)
    with pytest.raises(LabelError) as caught:
        evaluate_folder(predictions, reference, MM)
    assert (caught.value.where, caught.value.received) == (str(reference / "labelsTr" / "b_gt.nii.gz"), "[2]")


def test_another_grid_is_refused(folders):
    predictions, reference = folders
    write_volume(predictions / "a.nii.gz", cube(1), spacing=(1.5, 1.5, 9.0))
    with pytest.raises(GeometryError, match="spacing"):
        evaluate_folder(predictions, reference, MM)
    write_volume(predictions / "a.nii.gz", cube(1)[:7])
    with pytest.raises(GeometryError, match="shapes"):
        evaluate_folder(predictions, reference, MM)


@pytest.mark.parametrize("damage", ["cut", "link"])
def test_unreadable_files_are_named(folders, damage):
    predictions, reference = folders
    path = predictions / "a.nii.gz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
        kind = DamagedFileError
    else:
        path.unlink()
        path.symlink_to("nowhere.nii.gz")
        kind = PointillistError
    with pytest.raises(kind) as caught:
        evaluate_folder(predictions, reference, MM)
    assert "a.nii.gz" in caught.value.where


def test_json_and_csv_hold_the_same_rows(folders):
    evaluation = evaluate_folder(*folders, MM)
    content = evaluation.to_json(summarise(evaluation.rows))
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["header"] == evaluation.header
    read = list(csv.DictReader(io.StringIO(evaluation.to_csv().decode())))
    assert tuple(read[0]) == tuple(content["rows"][0]) == COLUMNS
    for left, right in zip(read, content["rows"], strict=True):
        assert left == {key: "" if value is None else str(value) for key, value in right.items()}


def test_csv_survives_awkward_names():
    row = Row('a, "b"', "café", "dsc", 0.1 + 0.2, "1", 1, 2)
    (read,) = csv.DictReader(io.StringIO(Evaluation((row,), {}).to_csv().decode()))
    assert (read["case"], read["class"], float(read["value"])) == ('a, "b"', "café", 0.1 + 0.2)
