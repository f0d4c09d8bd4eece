from __future__ import annotations

import numpy as np
import pytest

from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.learning import AXES, expected, learning_curves

GROUPS, POINTS = AXES


def entrant(groups, dice):
    rows = [[f"c{i}", "RV", value] for i, value in enumerate(dice)]
    result = {
        "method": "pce",
        "data": {"training_groups": groups, "source": {}},
        "readings": {"plain": {"cases": {"columns": ["case", "class", "dsc"], "rows": rows}}},
    }
    return Entrant(f"pce-{groups}", f"pce groups={groups}", (result,))


def test_a_curve_of_the_family_is_found_again():
    groups = np.array([5.0, 10, 20, 40, 80])
    dice = 0.9 - 0.8 * groups**-0.5
    assert expected(groups, dice, 160) == pytest.approx(0.9 - 0.8 * 160**-0.5, abs=1e-6)


def test_the_gain_of_the_next_cases():
    numbers = [5, 10, 20, 40]
    noise = np.random.default_rng(0).normal(0, 0.01, 30)
    entrants = [entrant(n, 0.9 - 0.8 * n**-0.5 + noise) for n in numbers]
    (curve,) = learning_curves(entrants, "plain", GROUPS)
    assert curve.title == "pce"
    assert curve.numbers == tuple(numbers)
    assert curve.gain == pytest.approx(0.8 * (40**-0.5 - (40 + GROUPS.ahead) ** -0.5), abs=0.005)
    assert curve.low <= curve.gain <= curve.high


def test_a_flat_curve_promises_nothing_and_none_promises_a_loss():
    flat = [entrant(n, [0.7] * 5) for n in (5, 10, 20)]
    falling = [entrant(n, [0.9 - 0.01 * n] * 5) for n in (5, 10, 20)]
    for entrants in (flat, falling):
        (curve,) = learning_curves(entrants, "plain", GROUPS)
        assert curve.gain == pytest.approx(0, abs=1e-9)


def test_two_points_are_no_curve():
    assert learning_curves([entrant(n, [0.5] * 5) for n in (5, 10)], "plain", GROUPS) == []


def test_points_have_a_curve_of_their_own():
    def with_points(count, dice):
        one = entrant(80, dice)
        one.results[0]["data"]["source"] = {"marks": {"generator": "random_point", "count": count}}
        return Entrant(f"pce-{count}", f"pce count={count}", one.results)

    entrants = [with_points(n, 0.9 - 0.4 / n * np.ones(5)) for n in (1, 2, 4)]
    (curve,) = learning_curves(entrants, "plain", POINTS)
    assert (curve.title, curve.numbers) == ("pce", (1, 2, 4))
    assert curve.gain == pytest.approx(0.4 * (1 / 4 - 1 / 5), abs=1e-6)  # from one point more
    assert learning_curves(entrants, "plain", GROUPS) == []
    assert learning_curves([entrant(80, [0.5])] * 3, "plain", POINTS) == []
