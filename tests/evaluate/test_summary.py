from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointillist.evaluate.summary import ALL_CLASSES, RESAMPLES, summarise
from pointillist.evaluate.table import Row


def rows(values, metric="dsc", unit="1"):
    """One row for each entry of {class: [value of each case]}."""
    return [
        Row(f"case{i}", cls, metric, value, unit, 1, 1)
        for cls, column in values.items()
        for i, value in enumerate(column)
    ]


def test_by_hand():
    left, right, overall = summarise(rows({"left": [0.0, 1.0, None], "right": [0.5, 0.5, 0.8]}))
    assert (left["class"], left["metric"], left["unit"]) == ("left", "dsc", "1")
    assert (left["mean"], left["std"], left["n"], left["undefined"]) == (0.5, 0.5, 2, 1)
    assert (right["mean"], right["n"], right["undefined"]) == (pytest.approx(0.6), 3, 0)
    assert overall["class"] == ALL_CLASSES
    assert overall["mean"] == pytest.approx((0.5 + 0.6) / 2)  # of class means, not of the five values
    assert overall["std"] == pytest.approx(np.std([0.25, 0.75, 0.8]))  # of each case's mean over its classes
    assert (overall["n"], overall["undefined"]) == (5, 1)


def test_one_class_needs_no_line_over_classes():
    assert [line["class"] for line in summarise(rows({"cell": [0.1, 0.2]}))] == ["cell"]


def test_what_is_never_defined_has_no_mean_and_no_interval():
    lines = summarise(rows({"a": [None, None], "b": [None, None]}))
    assert [line["n"] for line in lines] == [0, 0, 0]
    assert [line["undefined"] for line in lines] == [2, 2, 4]
    assert all(line[key] is None for line in lines for key in ("mean", "std", "low", "high"))


def test_one_case_has_a_mean_but_no_interval():
    (line,) = summarise(rows({"a": [0.25]}))
    assert (line["mean"], line["std"], line["low"], line["high"]) == (0.25, 0, None, None)


def test_the_interval_equals_a_plain_bootstrap():
    values = np.random.default_rng(1).normal(10, 2, 40)
    (line,) = summarise(rows({"a": values.tolist()}), seed=3)
    rng = np.random.default_rng(99)
    means = [rng.choice(values, values.size).mean() for _ in range(20_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    assert line["low"] == pytest.approx(low, abs=0.06)
    assert line["high"] == pytest.approx(high, abs=0.06)
    assert RESAMPLES >= 1000


def test_cases_are_drawn_whole():
    """Two classes that cancel within each case: no spread over classes, though each class alone has one."""
    column = np.linspace(0, 1, 20)
    up, down, overall = summarise(rows({"up": column.tolist(), "down": (1 - column).tolist()}))
    assert up["high"] - up["low"] > 0.1
    assert down["high"] - down["low"] > 0.1
    assert overall["low"] == pytest.approx(overall["high"]) == pytest.approx(0.5)


def test_undefined_cases_take_part_in_the_drawing():
    """With one value among many undefined, the mean is that value in every resample that draws it."""
    (line,) = summarise(rows({"a": [None] * 8 + [2.0, 4.0]}))
    assert (line["mean"], line["low"], line["high"]) == (3, 2, 4)


def test_the_seed_decides():
    table = rows({"a": np.linspace(0, 1, 15).tolist()})
    assert summarise(table, seed=1) == summarise(table, seed=1)
    assert summarise(table, seed=1) != summarise(table, seed=2)


def test_classes_stay_together_and_units_apart():
    table = [*rows({"a": [1.0], "b": [2.0]}, "hd95_pooled", "mm"), *rows({"a": [0.5], "b": [0.5]})]
    table.append(Row("case1", "a", "hd95_pooled", 7.0, "voxel", 1, 1))
    lines = summarise(table)
    assert [(line["class"], line["metric"], line["unit"]) for line in lines] == [
        ("a", "hd95_pooled", "mm"),
        ("a", "dsc", "1"),
        ("a", "hd95_pooled", "voxel"),
        ("b", "hd95_pooled", "mm"),
        ("b", "dsc", "1"),
        (ALL_CLASSES, "hd95_pooled", "mm"),
        (ALL_CLASSES, "dsc", "1"),
    ]
    assert lines[2]["mean"] == 7


@settings(max_examples=30)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=1, max_size=12),
    st.lists(st.one_of(st.none(), st.floats(0, 100)), min_size=1, max_size=12),
)
def test_counts_add_up_and_means_lie_within_their_intervals(first, second):
    size = min(len(first), len(second))
    for line in summarise(rows({"a": first[:size], "b": second[:size]})):
        assert line["n"] + line["undefined"] == size * (2 if line["class"] == ALL_CLASSES else 1)
        if line["low"] is not None:
            assert 0 <= line["low"] <= line["high"] <= 100.000001
