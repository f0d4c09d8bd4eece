"""How many marked cases are enough: Dice over the patients that were learned from, and what the next ones promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from pointillist.benchmark.comparison import Entrant
from pointillist.types import Floats

AHEAD = 10
_LEAST = 3  # points that a curve of three numbers needs
_EXPONENTS = np.linspace(0.1, 2.0, 39)
_RESAMPLES = 500


@dataclass(frozen=True)
class LearningCurve:
    """Dice of one method over the number of patients or slides that it learned from.

    Attributes:
        title: of the method.
        groups: numbers of patients, ascending.
        dice: mean Dice at each.
        gain: expected from ``AHEAD`` more than the most.
        low: 95 % bootstrap interval of the gain, test cases drawn again.
        high: its other end.
    """

    title: str
    groups: tuple[int, ...]
    dice: tuple[float, ...]
    gain: float
    low: float
    high: float


def learning_curves(entrants: Sequence[Entrant], reading: str) -> list[LearningCurve]:
    """A curve for every method that learned from three different numbers of patients or more.

    Dice is taken to follow a − b n⁻ᶜ with a ≤ 1, b ≥ 0 and 0.1 ≤ c ≤ 2, fitted by least squares.
    """
    curves: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for one in entrants:
        groups = one.results[0]["data"].get("training_groups")
        if groups is not None:
            curves[one.title.partition(" groups=")[0]][groups] = one.by_case(reading, "dsc")
    return [_curve(title, points) for title, points in curves.items() if len(points) >= _LEAST]


def expected(groups: Floats, dice: Floats, wanted: float) -> float:
    """Dice that the fitted curve says of a number of patients.

    Args:
        groups: ``(n,)`` numbers of patients.
        dice: ``(n,)`` Dice at each.
        wanted: number of patients.
    """
    fits = [(*_fitted(groups, dice, exponent), exponent) for exponent in _EXPONENTS]
    _, ceiling, slope, exponent = min(fits)
    return float(ceiling - slope * wanted**-exponent)


def _curve(title: str, points: dict[int, dict[str, float]]) -> LearningCurve:
    groups = sorted(points)
    cases = sorted(set.intersection(*(set(points[n]) for n in groups)))
    values = np.array([[points[n][case] for case in cases] for n in groups])
    draws = np.random.default_rng(0).integers(len(cases), size=(_RESAMPLES, len(cases)))
    gains = [_gain(groups, values[:, draw].mean(1)) for draw in draws]
    low, high = np.percentile(gains, [2.5, 97.5])
    dice = values.mean(1)
    return LearningCurve(title, tuple(groups), tuple(dice.tolist()), _gain(groups, dice), float(low), float(high))


def _gain(groups: Sequence[int], dice: Floats) -> float:
    numbers = np.array(groups, dtype=float)
    return expected(numbers, dice, numbers[-1] + AHEAD) - expected(numbers, dice, numbers[-1])


def _fitted(groups: Floats, dice: Floats, exponent: float) -> tuple[float, float, float]:
    """Squared error, a and b of the best a − b n⁻ᶜ for one c: 1 − Dice is (1 − a) + b n⁻ᶜ with neither negative."""
    columns = np.stack([np.ones_like(groups), groups**-exponent], axis=1)
    (missing, slope), error = nnls(columns, 1 - dice)
    return float(error), float(1 - missing), float(slope)
