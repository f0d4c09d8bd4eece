from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointillist.solvers.graph_cut import three_label_cut


def energy(labels, costs, down, right):
    """E of one grid, from the equation."""
    height, width = labels.shape
    total = sum(costs[labels[y, x], y, x] for y in range(height) for x in range(width))
    total += sum(down[y, x] * (labels[y, x] - labels[y + 1, x]) ** 2 for y in range(height - 1) for x in range(width))
    total += sum(right[y, x] * (labels[y, x] - labels[y, x + 1]) ** 2 for y in range(height) for x in range(width - 1))
    return float(total)


def problem(rng, grids, height, width, pull):
    costs = rng.normal(0, 1, (grids, 3, height, width))
    return costs, pull * rng.random((grids, height - 1, width)), pull * rng.random((grids, height, width - 1))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(1, 1), (1, 5), (5, 1), (2, 3), (3, 2)]),
    st.sampled_from([0, 0.1, 0.5, 2]),
)
def test_no_labelling_has_less_energy(seed, shape, pull):
    costs, down, right = problem(np.random.default_rng(seed), 2, *shape, pull)
    found = three_label_cut(costs, down, right)
    for grid in range(2):
        one = costs[grid], down[grid], right[grid]
        every = (np.array(labels).reshape(shape) for labels in itertools.product(range(3), repeat=shape[0] * shape[1]))
        assert energy(found[grid], *one) == pytest.approx(min(energy(labels, *one) for labels in every), abs=1e-6)


def test_by_hand():
    """Two pixels that want 0 and 2, worth 1 each: apart they cost 4w, at (0, 1) 1/2 + w, at (0, 0) 1."""
    costs = np.array([[0, 0.5, 1], [1, 0.5, 0]]).T.reshape(1, 3, 1, 2)
    for weight, labels in ((0.1, [0, 2]), (0.6, [0, 0])):
        found = three_label_cut(costs, np.zeros((1, 0, 2)), np.full((1, 1, 1), weight))[0, 0]
        assert found.tolist() == labels or (weight > 0.5 and found[0] == found[1])
    found = three_label_cut(costs, np.zeros((1, 0, 2)), np.full((1, 1, 1), 0.3))[0, 0]
    assert abs(found[0] - found[1]) == 1


def test_grids_do_not_touch_each_other():
    costs, down, right = problem(np.random.default_rng(0), 5, 8, 6, 0.3)
    apart = [three_label_cut(costs[i : i + 1], down[i : i + 1], right[i : i + 1]) for i in range(5)]
    assert np.array_equal(three_label_cut(costs, down, right), np.concatenate(apart))


def test_without_any_cost_every_label_will_do():
    labels = three_label_cut(np.zeros((1, 3, 2, 2)), np.ones((1, 1, 2)), np.ones((1, 2, 1)))
    assert (labels == labels[0, 0, 0]).all()


def test_wrong_inputs_are_named():
    costs, down, right = problem(np.random.default_rng(0), 1, 3, 4, 1)
    with pytest.raises(ValueError, match="three labels and weights between neighbours must be"):
        three_label_cut(costs[:, :2], down, right)
    with pytest.raises(ValueError, match="three labels and weights between neighbours must be"):
        three_label_cut(costs, right, down)
    with pytest.raises(ValueError, match="must not be negative"):
        three_label_cut(costs, down, -right)
