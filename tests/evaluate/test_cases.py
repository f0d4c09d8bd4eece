from __future__ import annotations

import math

import numpy as np
import pytest

from pointillist.data.image import Grid, Image
from pointillist.errors import GeometryError, InputError, LabelError
from pointillist.evaluate.cases import case_rows
from pointillist.evaluate.classes import Classes
from pointillist.evaluate.objects import object_rows
from pointillist.evaluate.protocol import DEFINITIONS, Protocol

ORGANS = Classes({1: "RV", 2: "Myo"}, 3, "dataset.json")
SURFACE = {"hd95_pooled", "hd95_pooled_bounded", "hd95_max", "assd_pooled", "assd_directed_mean"}


def volume(*voxels, value=1, spacing=(10.0, 1.5, 1.5)):
    array = np.zeros((3, 4, 5), np.uint8)
    for voxel in voxels:
        array[voxel] = value
    return Image(array, Grid(array.shape, spacing, np.diag([*spacing, 1.0])), where="some file")


def table(prediction, reference, classes=ORGANS, protocol=Protocol()):  # noqa: B008 - frozen
    return {(row.cls, row.metric): row for row in case_rows("case", prediction, reference, classes, protocol)}


def test_a_pair_of_voxels_two_slices_apart():
    rows = table(volume((0, 1, 1)), volume((2, 1, 1)))
    for metric in SURFACE:
        assert (rows["RV", metric].value, rows["RV", metric].unit) == (20, "mm")
    assert (rows["RV", "dsc"].value, rows["RV", "dsc"].unit) == (0, "1")
    assert rows["RV", "nsd_2mm"].value == 0
    assert (rows["RV", "dsc"].n_ref, rows["RV", "dsc"].n_pred) == (1, 1)


def test_a_class_that_neither_has_is_right():
    rows = table(volume((0, 1, 1)), volume((2, 1, 1)))
    assert {rows["Myo", metric].value for metric in SURFACE} == {0}
    assert {rows["Myo", m].value for m in ("dsc", "iou", "accuracy", "precision", "kappa", "nsd_2mm")} == {1}


@pytest.mark.parametrize(
    ("prediction", "reference", "reason", "sizes"),
    [
        (volume(), volume((1, 1, 1)), "the prediction is empty", (1, 0)),
        (volume((1, 1, 1), (1, 1, 2)), volume(), "the reference is empty", (0, 2)),
    ],
)
def test_a_missed_organ_has_no_distance_but_a_reason_and_a_bound(prediction, reference, reason, sizes):
    rows = table(prediction, reference)
    for metric in SURFACE - {"hd95_pooled_bounded"}:
        row = rows["RV", metric]
        assert (row.value, row.reason, row.n_ref, row.n_pred) == (None, reason, *sizes)
    assert rows["RV", "hd95_pooled_bounded"].value == pytest.approx(math.hypot(30, 6, 7.5))
    assert rows["RV", "dsc"].value == rows["RV", "iou"].value == rows["RV", "nsd_2mm"].value == 0


def test_unlabelled_voxels_are_left_out_of_overlap_and_leave_no_surface():
    reference = volume((0, 0, 0))
    reference.array[1:] = 3
    rows = table(volume((0, 0, 0), (2, 2, 2)), reference)
    assert rows["RV", "dsc"].value == 1
    assert (rows["RV", "dsc"].n_ref, rows["RV", "dsc"].n_pred) == (1, 1)
    for metric in (*SURFACE, "nsd_2mm"):
        assert rows["RV", metric].value is None
        assert rows["RV", metric].reason == "the reference has unlabelled voxels"


def test_published_rules_say_nothing_about_unlabelled_voxels():
    reference = volume((0, 0, 0), value=3)
    assert ("RV", "dsc_as_pclmix") not in table(volume(), reference, protocol=Protocol(published="pclmix"))


def test_a_reference_without_any_label_scores_nothing():
    reference = volume()
    reference.array[:] = 3
    rows = table(volume((0, 0, 0)), reference)
    assert (rows["RV", "dsc"].value, rows["RV", "dsc"].reason) == (None, "the reference has no labelled voxel")


def test_voxels_on_request_and_where_nothing_else_is_known():
    on_request = table(volume((0, 1, 1)), volume((2, 1, 1)), protocol=Protocol("voxel", nsd_tolerance=2.5))
    assert (on_request["RV", "hd95_pooled"].value, on_request["RV", "hd95_pooled"].unit) == (2, "voxel")
    assert on_request["RV", "nsd_2.5voxel"].value == 1
    flat = [Image(np.eye(3, dtype=np.uint8)[:, ::step].copy(), Grid((3, 3))) for step in (1, -1)]
    unknown = table(*flat)
    assert unknown["RV", "hd95_pooled"].unit == "voxel"
    assert ("RV", "nsd_2voxel") in unknown


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_measured_as_a_flat_image(axis):
    arrays = np.zeros((2, 12, 12), np.uint8)
    arrays[0, 2:9, 2:9] = arrays[1, 3:11, 2:8] = 1
    flat = table(*(Image(array, Grid(array.shape, (2.0, 0.7))) for array in arrays))
    spacing = tuple(np.insert([2.0, 0.7], axis, 10.0))
    slices = [np.expand_dims(array, axis) for array in arrays]
    thin = table(*(Image(array, Grid(array.shape, spacing)) for array in slices))
    for (cls, metric), row in flat.items():
        if metric != "hd95_pooled_bounded":
            assert thin[cls, metric] == row
    assert thin["RV", "assd_pooled"].value > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (1, 1, 1), (1, 1, 7)])
def test_lines_and_single_pixels_are_measured_too(shape):
    array = np.ones(shape, np.uint8)
    image = Image(array, Grid(shape, (1.0,) * len(shape)))
    rows = table(image, image)
    assert (rows["RV", "dsc"].value, rows["RV", "hd95_pooled"].value) == (1, 0)


def test_every_metric_has_a_definition():
    protocol = Protocol(published="pymic")
    rows = case_rows("case", volume(), volume(), ORGANS, protocol)
    told = {row.metric: protocol.definition(row.metric) for row in rows}
    assert "within 2mm" in told["nsd_2mm"]
    assert "hd95_max" in told["hd95_as_pymic"]
    assert all(told[metric] == DEFINITIONS[metric] for metric in SURFACE)


@pytest.mark.parametrize(
    ("prediction", "reference"),
    [
        (volume((0, 0, 0), value=9), volume()),
        (volume(), volume((0, 0, 0), value=9)),
        (volume((0, 0, 0), value=3), volume()),  # a prediction may not be unlabelled
    ],
)
def test_values_that_no_class_has_are_refused(prediction, reference):
    with pytest.raises(LabelError, match="no class has") as caught:
        table(prediction, reference)
    assert caught.value.where == "some file"


def test_renaming_the_classes_renames_the_rows():
    prediction, reference = volume((0, 1, 1), (1, 2, 3)), volume((0, 1, 1), (1, 2, 4))
    swapped = [volume((0, 1, 1), (1, 2, n), value=2) for n in (3, 4)]
    before, after = table(prediction, reference), table(*swapped)
    for (cls, metric), row in before.items():
        assert row.value == after[{"RV": "Myo", "Myo": "RV"}[cls], metric].value


@pytest.mark.parametrize(
    "settings", [{"unit": "cm"}, {"nsd_tolerance": -1.0}, {"nsd_tolerance": math.inf}, {"published": "nobody"}]
)
def test_impossible_protocols_are_refused(settings):
    with pytest.raises(InputError):
        Protocol(**settings)


def objects(*boxes, size=40):
    array = np.zeros((size, size), np.int32)
    for number, (top, left, edge) in enumerate(boxes, 1):
        array[top : top + edge, left : left + edge] = number
    return Image(array, Grid(array.shape), where="some file")


def object_table(prediction, reference):
    return {row.metric: row for row in object_rows("case", prediction, reference)}


def test_objects_are_compared_by_id():
    reference = objects((5, 5, 10), (20, 20, 10))
    prediction = objects((20, 20, 10), (0, 0, 3))
    rows = object_table(prediction, reference)
    assert rows["mdice_strict"].value == 0.5
    assert rows["aji"].value == pytest.approx(100 / 209)
    assert rows["iou"].value == pytest.approx(100 / 209)
    assert {(row.cls, row.unit, row.n_ref) for row in rows.values()} == {("objects", "1", 2)}
    assert rows["mdice_strict"].n_pred == 2
    assert rows["mdice_published"].n_pred == 1  # 9 pixels are dropped
    assert rows["mdice_published"].value == pytest.approx(0.5, abs=1e-5)


def test_a_mask_is_split_into_objects():
    reference = objects((5, 5, 10), (20, 20, 10))
    mask = Image((reference.array > 0).astype(np.uint8) * 255, reference.grid)
    rows = object_table(mask, reference)
    assert [row.value for row in rows.values()] == pytest.approx([1, 1, 1, 1])
    assert rows["aji"].n_pred == 2


def test_only_tiny_objects_leave_the_strict_mean_undefined():
    row = object_table(objects((5, 5, 10)), objects((5, 5, 3)))["mdice_strict"]
    assert (row.value, row.reason) == (None, "all reference objects are under 20 pixels")


def test_objects_of_volumes_and_negative_ids_are_refused():
    with pytest.raises(GeometryError, match="2-D"):
        object_rows("case", volume(), volume())
    negative = objects((5, 5, 10))
    negative.array[0, 0] = -1
    with pytest.raises(LabelError, match="negative"):
        object_rows("case", objects(), negative)
