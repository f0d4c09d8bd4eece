from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes
from scipy.ndimage import label as components

from pointillist.errors import GeometryError
from pointillist.evaluate.instance import aji, match_objects, mdice_published, mdice_strict, published_instances


def toy():
    """One object hit, one tiny, one at the border and one inside missed."""
    reference = np.zeros((40, 40), np.int32)
    reference[5:15, 5:15] = 1
    reference[20:22, 5:8] = 2
    reference[30:40, 30:40] = 3
    reference[20:28, 18:26] = 4
    return np.where(reference == 1, 1, 0).astype(np.int32), reference


def as_published(prediction, reference):
    """The published procedure as METHODS A5 tells it, object by object, on a copy that it erases from."""
    left, scores, eps = reference.copy(), [], 1e-4
    for number in range(1, reference.max() + 1):
        if np.count_nonzero(left == number) < 20:
            left[left == number] = 0
        under = prediction[left == number]
        under = under[under > 0]
        matched = np.zeros(reference.shape, bool)
        if under.size:
            matched = prediction == np.bincount(under).argmax()
        else:
            border = np.zeros(reference.shape, bool)
            border[[0, -1]] = border[:, [0, -1]] = True
            left[np.isin(left, left[border])] = 0
        mine = left == number
        scores.append((2 * (mine & matched).sum() + eps) / (mine.sum() + matched.sum() + eps))
    return float(np.mean(scores)) if scores else 0.0


@st.composite
def map_pairs(draw):
    """Two instance maps of rectangles: tiny and large, overlapping, at the border, with gaps between the ids."""
    pair = np.zeros((2, 24, 24), np.int32)
    for side in pair:
        for number in draw(st.lists(st.integers(1, 9), max_size=7)):
            top, left = draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
            height, width = draw(st.tuples(st.integers(1, 10), st.integers(1, 10)))
            side[top : top + height, left : left + width] = number
    return pair[0], pair[1]


@settings(max_examples=400)
@given(map_pairs())
def test_published_equals_the_loop_of_its_description(pair):
    assert mdice_published(*pair) == pytest.approx(as_published(*pair), rel=1e-12)


def test_the_toy_case():
    prediction, reference = toy()
    assert mdice_published(prediction, reference) == pytest.approx(0.75, abs=1e-6)
    assert mdice_strict(prediction, reference) == pytest.approx(1 / 3)
    assert mdice_strict(prediction, reference, min_area=0) == pytest.approx(1 / 4)


def test_published_rewards_gaps_between_ids():
    prediction, reference = toy()
    gaps = np.where(reference == 4, 14, reference)
    assert mdice_published(prediction, gaps) == pytest.approx(13 / 14, abs=1e-6)
    assert mdice_strict(prediction, gaps) == mdice_strict(prediction, reference)


def test_published_border_rule_works_from_the_first_failure_on():
    reference = np.zeros((40, 40), np.int32)
    reference[0:10, 0:10] = 1
    reference[15:25, 15:25] = 2
    reference[30:40, 30:40] = 3
    half = np.zeros_like(reference)
    half[0:5, 0:10] = 1  # half of object 1, before the failure: scored; object 2 missed; half of 3, after: rewarded
    half[30:35, 30:40] = 3
    assert mdice_published(half, reference) == pytest.approx((2 / 3 + 0 + 1) / 3, abs=1e-6)


def test_published_without_reference_is_0():
    assert mdice_published(np.ones((30, 30), np.int32), np.zeros((30, 30), np.int32)) == 0


def test_published_preparation_drops_small_parts_then_fills_holes():
    mask = np.zeros((40, 40), bool)
    mask[2:10, 2:10] = True  # 64 pixels: kept
    mask[20:29, 2:9] = True  # 63 pixels: dropped
    mask[20:30, 20:30] = True
    mask[23:26, 23:26] = False  # a hole
    mask[30:40, 30:40] = True  # touches the last at a corner
    found = published_instances(mask)
    assert found.dtype == np.int32
    assert [int((found == i).sum()) for i in range(3)] == [1600 - 64 - 200, 64, 200]


@given(map_pairs())
def test_published_preparation_equals_its_description(pair):
    mask = pair[0] > 0
    parts, n = components(mask, np.ones((3, 3)))
    kept = np.isin(parts, [i for i in range(1, n + 1) if (parts == i).sum() >= 64])
    expected, count = components(binary_fill_holes(kept), np.ones((3, 3)))
    found = published_instances(mask)
    assert found.max() == count
    np.testing.assert_array_equal(found > 0, expected > 0)
    assert len(np.unique(np.stack([found, expected]).reshape(2, -1), axis=1).T) == count + (expected == 0).any()


def slow_strict(prediction, reference, min_area):
    scores = []
    for number in np.unique(reference[reference > 0]):
        mine = reference == number
        if mine.sum() < min_area:
            continue
        under = np.bincount(prediction[mine], minlength=2)
        under[0] = 0
        matched = prediction == under.argmax() if under.any() else np.zeros_like(mine)
        scores.append(2 * (mine & matched).sum() / (mine.sum() + matched.sum()))
    return np.mean(scores) if scores else None


@given(map_pairs(), st.sampled_from([0, 20]))
def test_strict_equals_the_loop(pair, min_area):
    prediction, reference = pair
    expected = slow_strict(prediction, reference, min_area)
    if expected is not None:
        assert mdice_strict(prediction, reference, min_area=min_area) == pytest.approx(expected)
    elif reference.any():
        assert math.isnan(mdice_strict(prediction, reference, min_area=min_area))
    else:
        assert mdice_strict(prediction, reference, min_area=min_area) == (not prediction.any())


def slow_aji(prediction, reference):
    shared = union = 0
    used = set()
    for number in np.unique(reference[reference > 0]):
        mine = reference == number
        overlaps = [
            ((mine & (prediction == p)).sum() / (mine | (prediction == p)).sum(), -p)
            for p in np.unique(prediction[mine])
            if p > 0
        ]
        if not overlaps:
            union += mine.sum()
            continue
        best = -max(overlaps)[1]
        used.add(best)
        shared += (mine & (prediction == best)).sum()
        union += (mine | (prediction == best)).sum()
    union += sum((prediction == p).sum() for p in np.unique(prediction[prediction > 0]) if p not in used)
    return shared / union if union else 1.0


@given(map_pairs())
def test_aji_equals_the_loop(pair):
    assert aji(*pair) == pytest.approx(slow_aji(*pair))


def test_aji_by_hand():
    reference, prediction = np.zeros((10, 10), np.int32), np.zeros((10, 10), np.int32)
    reference[0, :4], reference[2, :4] = 1, 2
    prediction[0, :2], prediction[4, :3] = 5, 7
    assert aji(prediction, reference) == pytest.approx(2 / (4 + 4 + 3))
    assert aji(prediction, np.zeros_like(reference)) == 0
    assert aji(reference, reference) == 1


@given(map_pairs(), st.permutations(range(1, 10)), st.integers(0, 10**6))
def test_renaming_predicted_objects_changes_nothing_but_ties(pair, names, offset):
    prediction, reference = pair
    table = np.array([0, *(n + offset for n in names)])
    renamed = table[prediction]
    objects = match_objects(prediction, reference)
    per_object = [sorted(objects.shared[objects.ref == i])[-2:] for i in range(objects.ref_ids.size)]
    if all(len(best) < 2 or best[0] < best[1] for best in per_object):
        assert mdice_strict(renamed, reference, min_area=0) == pytest.approx(
            mdice_strict(prediction, reference, min_area=0)
        )
        assert mdice_published(renamed, reference) == pytest.approx(mdice_published(prediction, reference))


@given(map_pairs(), st.permutations(range(1, 10)))
def test_renaming_reference_objects_changes_nothing_in_the_strict_metrics(pair, names):
    prediction, reference = pair
    renamed = np.array([0, *names])[reference]
    expected = mdice_strict(prediction, reference)
    assert mdice_strict(prediction, renamed) == pytest.approx(expected, nan_ok=True)
    assert aji(prediction, renamed) == pytest.approx(aji(prediction, reference))


@given(map_pairs())
def test_the_joint_histogram_holds_every_pixel(pair):
    prediction, reference = pair
    objects = match_objects(prediction, reference)
    assert objects.ref_area.sum() == (reference > 0).sum()
    assert objects.pred_area.sum() == (prediction > 0).sum()
    assert objects.shared.sum() == ((reference > 0) & (prediction > 0)).sum()


def test_huge_ids_cost_no_memory():
    prediction, reference = toy()
    assert mdice_strict(prediction * (2**31 - 1), reference * 500_000_000) == pytest.approx(1 / 3)
    assert mdice_published(prediction, reference * 500_000_000) == pytest.approx(1, abs=1e-6)


def test_different_shapes_are_refused():
    with pytest.raises(GeometryError, match="one grid"):
        match_objects(np.zeros((2, 3), np.int32), np.zeros((3, 2), np.int32))
