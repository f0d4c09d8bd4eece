from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pointillist.errors import InputError
from pointillist.evaluate.classify import accuracy, auc, kappa, precision, recall
from pointillist.evaluate.overlap import Confusion, confusion

NOTHING = Confusion(0, 0, 0, 0)


def test_by_hand():
    counts = Confusion(tp=20, fp=5, fn=10, tn=15)
    assert accuracy(counts) == pytest.approx(0.7)
    assert precision(counts) == pytest.approx(0.8)
    assert recall(counts) == pytest.approx(2 / 3)
    assert kappa(counts) == pytest.approx(0.4)  # the textbook table: agreement .7, by chance .5


@pytest.mark.parametrize("metric", [accuracy, precision, recall, kappa])
def test_nothing_to_compare_is_undefined(metric):
    assert math.isnan(metric(NOTHING))


def test_empty_masks():
    both, prediction, reference = Confusion(0, 0, 0, 9), Confusion(0, 0, 4, 5), Confusion(0, 4, 0, 5)
    assert (accuracy(both), precision(both), kappa(both)) == (1, 1, 1)
    assert recall(both) == 1
    assert math.isnan(precision(prediction))
    assert math.isnan(recall(reference))
    assert recall(prediction) == 0
    assert precision(reference) == kappa(prediction) == kappa(reference) == 0
    assert kappa(Confusion(9, 0, 0, 0)) == 1


@given(arrays(bool, 30), arrays(bool, 30))
def test_kappa_is_symmetric_and_at_most_the_accuracy(first, second):
    counts, swapped = confusion(first, second), confusion(second, first)
    assert kappa(counts) == kappa(swapped)
    assert kappa(counts) <= accuracy(counts) <= 1


def test_auc_by_hand_with_a_tie():
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    reference = np.array([False, False, True, True])
    assert auc(scores, reference) == pytest.approx((0.5 + 1 + 1 + 1) / 4)


@given(arrays(np.float32, 20, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])), arrays(bool, 20))
def test_auc_is_the_share_of_ordered_pairs(scores, reference):
    assume(reference.any() and not reference.all())
    difference = scores[reference][:, None] - scores[~reference][None]
    expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
    assert auc(scores.reshape(4, 5), reference.reshape(4, 5)) == pytest.approx(expected)
    assert auc(-scores, reference) == pytest.approx(1 - expected)


@pytest.mark.parametrize("reference", [np.zeros(3, bool), np.ones(3, bool)])
def test_auc_needs_both_sides(reference):
    assert math.isnan(auc(np.arange(3.0), reference))


@pytest.mark.parametrize("scores", [np.zeros(4), np.array([0.0, np.nan, 1.0])])
def test_auc_refuses_unusable_scores(scores):
    with pytest.raises(InputError, match="one finite score"):
        auc(scores, np.array([True, False, True]))
