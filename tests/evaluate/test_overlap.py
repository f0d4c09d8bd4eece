from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from medpy.metric.binary import dc, jc

from pointillist.errors import GeometryError
from pointillist.evaluate.overlap import Confusion, confusion, confusions, dsc, iou

labels = arrays(np.uint8, (4, 5), elements=st.integers(0, 3))


def test_by_hand():
    prediction = np.array([[1, 1, 0, 2], [0, 1, 2, 2]], np.uint8)
    reference = np.array([[1, 0, 0, 2], [1, 1, 1, 2]], np.uint8)
    counts = confusions(prediction, reference, [1, 2, 3])
    assert counts == {1: Confusion(2, 1, 2, 3), 2: Confusion(2, 1, 0, 5), 3: Confusion(0, 0, 0, 8)}
    assert dsc(counts[1]) == pytest.approx(4 / 7)
    assert iou(counts[1]) == pytest.approx(2 / 5)
    assert (counts[1].n_pred, counts[1].n_ref, counts[1].total) == (3, 4, 8)


@given(labels, labels)
def test_equal_to_medpy_where_something_is_there(prediction, reference):
    for label, counts in confusions(prediction, reference, [1, 2, 3]).items():
        masks = prediction == label, reference == label
        if any(mask.any() for mask in masks):
            assert dsc(counts) == pytest.approx(dc(*masks), rel=1e-12)
            assert iou(counts) == pytest.approx(jc(*masks), rel=1e-12)
        else:
            assert dsc(counts) == iou(counts) == 1


@given(labels, labels)
def test_joint_counts_equal_those_of_single_masks_and_are_symmetric(prediction, reference):
    for label, counts in confusions(prediction, reference, [0, 1, 2, 3]).items():
        assert counts == confusion(prediction == label, reference == label)
        swapped = confusion(reference == label, prediction == label)
        assert dsc(counts) == dsc(swapped)
        assert iou(counts) == iou(swapped)
        assert iou(counts) == pytest.approx(dsc(counts) / (2 - dsc(counts)))


@given(labels, labels, st.permutations(range(4)))
def test_renaming_the_classes_renames_the_counts(prediction, reference, names):
    names = np.array(names, np.uint8)
    renamed = confusions(names[prediction], names[reference], range(4))
    assert {names[k]: v for k, v in confusions(prediction, reference, range(4)).items()} == renamed


def test_one_empty_mask_scores_0():
    full, empty = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    assert dsc(confusion(full, empty)) == dsc(confusion(empty, full)) == iou(confusion(full, empty)) == 0


def test_ignored_voxels_leave_both_masks():
    prediction = np.array([1, 1, 0, 2], np.uint8)
    reference = np.array([1, 4, 4, 0], np.uint8)
    assert confusions(prediction, reference, [1, 2], ignore=4) == {
        1: Confusion(1, 0, 0, 1),
        2: Confusion(0, 1, 0, 1),
    }


def test_ignoring_a_value_that_is_absent_changes_nothing():
    labels = np.array([1, 0, 2], np.uint8)
    assert confusions(labels, labels, [1], ignore=200) == confusions(labels, labels, [1])


def test_nothing_to_compare_is_undefined():
    everything_ignored = confusions(np.ones(3, np.uint8), np.full(3, 4, np.uint8), [1], ignore=4)[1]
    assert math.isnan(dsc(everything_ignored))
    assert math.isnan(iou(everything_ignored))


def test_different_shapes_are_refused():
    with pytest.raises(GeometryError, match="one grid"):
        confusion(np.ones((2, 3), bool), np.ones((3, 2), bool))
