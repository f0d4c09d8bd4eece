from __future__ import annotations

import json

import numpy as np
import pytest

from pointillist.errors import DatasetError, InputError, LabelError
from pointillist.evaluate.classes import Classes, check_labels, find_classes, labels_in
from pointillist.evaluate.folders import Pair, pair_files


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def describe(folder, labels):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    return folder


@pytest.fixture
def predictions(tmp_path):
    return touch(tmp_path / "predictions", "p1_frame01.nii.gz", "p2_frame01.nii.gz", "metrics.csv", ".p3.nii.gz")


def test_the_truth_is_found_beside_an_image_of_the_same_name(tmp_path, predictions):
    reference = touch(
        tmp_path / "acdc",
        *[f"p{i}/p{i}_frame01{suffix}.nii.gz" for i in (1, 2, 3) for suffix in ("", "_gt", "_scribble")],
    )
    pairing = pair_files(predictions, reference)
    assert pairing.pairs == tuple(
        Pair(f"p{i}_frame01", predictions / f"p{i}_frame01.nii.gz", reference / f"p{i}/p{i}_frame01_gt.nii.gz")
        for i in (1, 2)
    )
    assert pairing.without_prediction == ("p3_frame01_gt",)


@pytest.mark.parametrize("suffix", ["_gt", "_seg", "_label", "_mask", ""])
def test_the_suffixes_and_any_ending(tmp_path, suffix):
    predictions = touch(tmp_path / "p", "a.png")
    reference = touch(tmp_path / "r", f"a{suffix}.tif")
    assert pair_files(predictions, reference).pairs[0].reference == reference / f"a{suffix}.tif"


def test_the_suffixes_are_tried_in_order(tmp_path):
    suffixes = ["_gt", "_seg", "_label", "_mask", ""]
    predictions = touch(tmp_path / "p", "a.png")
    for n in range(5):
        reference = touch(tmp_path / f"r{n}", *[f"a{suffix}.png" for suffix in suffixes[n:]])
        assert pair_files(predictions, reference).pairs[0].reference.stem == f"a{suffixes[n]}"


def test_one_prediction_against_one_file_of_any_name(tmp_path):
    predictions, reference = touch(tmp_path, "a.png", "b.nii.gz") / "a.png", tmp_path / "b.nii.gz"
    assert pair_files(predictions, reference).pairs == (Pair("a", predictions, reference),)


def test_one_prediction_against_a_folder(tmp_path):
    touch(tmp_path, "p/a.png", "p/b.png", "r/a.png", "r/b.png")
    pairing = pair_files(tmp_path / "p" / "a.png", tmp_path / "r")
    assert [pair.case for pair in pairing.pairs] == ["a"]
    assert pairing.without_prediction == ("b",)


def test_two_references_of_one_case_are_named(tmp_path, predictions):
    reference = touch(tmp_path / "r", "x/p1_frame01_gt.nii.gz", "y/p1_frame01_gt.nii", "p2_frame01.nii.gz")
    with pytest.raises(InputError, match="two references claim one case") as caught:
        pair_files(predictions, reference)
    assert "x/p1_frame01_gt.nii.gz" in caught.value.received
    assert "y/p1_frame01_gt.nii" in caught.value.received


def test_two_predictions_of_one_case_are_named(tmp_path, predictions):
    touch(predictions, "p1_frame01.png")
    reference = touch(tmp_path / "r", "p1_frame01.nii.gz", "p2_frame01.nii.gz")
    with pytest.raises(InputError, match="two predictions claim one case"):
        pair_files(predictions, reference)


def test_linked_folders_are_searched_once(tmp_path):
    predictions = touch(tmp_path / "p", "a.png", "b.png")
    reference = touch(tmp_path / "r", "x/a_gt.png")
    touch(tmp_path / "elsewhere", "b_gt.png")
    (reference / "linked").symlink_to(tmp_path / "elsewhere")
    (reference / "again").symlink_to(reference / "x")
    (reference / "x" / "loop").symlink_to(reference)
    found = {pair.case: pair.reference for pair in pair_files(predictions, reference).pairs}
    assert found["a"].samefile(reference / "x" / "a_gt.png")
    assert found["b"] == reference / "linked" / "b_gt.png"


def test_predictions_without_reference_are_named(tmp_path):
    predictions = touch(tmp_path / "p", *[f"c{i}.png" for i in range(8)])
    reference = touch(tmp_path / "r", "c0.png")
    with pytest.raises(InputError, match="7 of 8 predictions have no reference") as caught:
        pair_files(predictions, reference)
    assert caught.value.received == "c1, c2, c3, c4, c5 …"
    assert caught.value.todo


def test_no_predictions_and_no_folder_are_errors(tmp_path):
    touch(tmp_path / "p", "notes.txt")
    (tmp_path / "p" / "folder.png").mkdir()
    with pytest.raises(InputError, match="there are no predictions"):
        pair_files(tmp_path / "p", tmp_path)
    with pytest.raises(InputError, match="the predictions cannot be found"):
        pair_files(tmp_path / "q", tmp_path)
    with pytest.raises(InputError, match="the reference cannot be found"):
        pair_files(tmp_path / "p", tmp_path / "q")


SPARSE, PLAIN = {"background": 0, "a": 1, "ignore": 2}, {"background": 0, "a": 1}


@pytest.mark.parametrize(
    ("labels", "folders", "instances", "expected"),
    [
        (SPARSE, ["labelsTr", "labelsTs", "denseTr"], False, "denseTr"),
        (SPARSE, ["labelsTr", "denseTr"], False, "denseTr"),
        (PLAIN, ["labelsTr"], False, "labelsTr"),
        (PLAIN, ["labelsTr", "labelsTs", "instancesTr"], True, "instancesTr"),
    ],
)
def test_a_dataset_is_searched_where_dense_truth_lies(tmp_path, labels, folders, instances, expected):
    dataset = describe(tmp_path / "d", labels)
    for folder in ["imagesTr", *folders]:
        touch(dataset / folder, "other.png" if folder == "labelsTs" else "case.png")
    predictions = touch(tmp_path / "p", "case.png")
    pairing = pair_files(predictions, dataset, instances=instances)
    assert pairing.pairs[0].reference == dataset / expected / "case.png"
    assert pairing.without_prediction == (("other",) if "labelsTs" in folders and not instances else ())


@pytest.mark.parametrize(
    ("labels", "folders", "instances"),
    [(SPARSE, ["labelsTr"], False), (PLAIN, [], False), (PLAIN, ["labelsTr", "labelsTs"], True)],
)
def test_a_dataset_without_dense_truth_is_refused(tmp_path, labels, folders, instances):
    dataset = describe(tmp_path / "d", labels)
    for folder in folders:
        touch(dataset / folder, "case.png")
    with pytest.raises(DatasetError, match="no dense truth"):
        pair_files(touch(tmp_path / "p", "case.png"), dataset, instances=instances)


def test_classes_come_from_the_first_description(tmp_path):
    describe(tmp_path / "b", {"background": 0, "RV": 1, "LV": 3, "ignore": 4})
    describe(tmp_path / "c", PLAIN)
    classes = find_classes([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert (classes.names, classes.ignore) == ({1: "RV", 3: "LV"}, 4)
    assert find_classes([tmp_path / "a"]) is None


@pytest.mark.parametrize("content", ["", "{}", '{"labels": [1]}', "\xff"])
def test_a_description_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content, encoding="latin-1")
    with pytest.raises(DatasetError, match="cannot be read"):
        find_classes([tmp_path])


@pytest.mark.parametrize("labels", [{"a": [1, 2]}, {"a": 1, "b": 1}, {"a": -1}, {"a": "1"}])
def test_regions_and_repeated_numbers_are_refused(tmp_path, labels):
    with pytest.raises(DatasetError, match="distinct whole numbers"):
        find_classes([describe(tmp_path, labels)])


def test_label_checks():
    classes = Classes({1: "a"}, 2, "dataset.json")
    check_labels(np.array([[0, 1, 2]], np.uint8), classes, "file", may_ignore=True)
    with pytest.raises(LabelError, match="no class has") as caught:
        check_labels(np.array([[0, 1, 2, 7]], np.uint8), classes, "file", may_ignore=False)
    assert caught.value.received == "[2, 7]"
    assert labels_in(np.array([[3, 0, 3]]), "file") == {0, 3}
    for values in ([-1, 0], [0, 256]):
        with pytest.raises(LabelError, match="cannot be classes"):
            labels_in(np.array(values, np.int32), "file")
