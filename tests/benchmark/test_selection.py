from __future__ import annotations

import pytest

from pointillist.benchmark.selection import LAST, MARKS, TEST, by_rule, share_within


def kept(*models):
    lines = [
        {"step": step, "partial_ce": marks, "summary": [
            {"metric": "dsc", "mean": 0.0}, {"metric": "dsc", "mean": dice}, {"metric": "hd95_pooled", "mean": 3.0},
        ]}
        for step, marks, dice in models
    ]  # fmt: skip
    return {"kept": lines}


def test_rules_by_hand():
    result = kept((30, 0.2, 0.6), (10, 0.1, 0.5), (20, 0.3, 0.7))
    assert by_rule(result) == {LAST: 0.6, MARKS: 0.5, TEST: 0.7}
    assert by_rule(kept((10, None, 0.5), (20, None, 0.4))) == {LAST: 0.4, TEST: 0.5}
    assert by_rule({}) == {}


def test_share_of_runs_near_the_best():
    runs = [
        {LAST: 0.795, TEST: 0.8},
        {LAST: 0.7, TEST: 0.8},
        {LAST: 0.8, TEST: 0.8},
        {LAST: 0.81, MARKS: 0.7, TEST: 0.81},
    ]
    assert share_within(runs, LAST) == pytest.approx(0.75)
    assert share_within(runs, MARKS) == 0
    assert share_within([], LAST) is None
