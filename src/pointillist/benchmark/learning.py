"""How many marks are enough: Dice over patients or points that were learned from, and what the next ones promise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from pointillist.benchmark.comparison import Entrant
from pointillist.types import Floats

_LEAST = 3  # points that a curve of three numbers needs
_EXPONENTS = np.linspace(0.1, 2.0, 39)
_RESAMPLES = 500


@dataclass(frozen=True)
class Axis:
    """What there can be more of.

    Attributes:
        words: for people.
        field: of a suite's entry, as its title names it.
        ahead: the next step: so many more than the most.
        number: how many a run learned from; None where it does not say.
    """

    words: str
    field: str
    ahead: int
    number: Callable[[Mapping[str, Any]], int | None]


AXES = (
    Axis("patients or slides with marks", "groups", 10, lambda run: run["data"].get("training_groups")),
    Axis(
        "marks of a class in a slice", "count", 1, lambda run: (run["data"]["source"].get("marks") or {}).get("count")
    ),
)


@dataclass(frozen=True)
class LearningCurve:
    """Dice of one method over the number of patients, or of points, that it learned from.

    Attributes:
        title: of the method.
        numbers: of patients or points, ascending.
        dice: mean Dice at each.
        gain: expected from the axis's next step beyond the most.
        low: 95 % bootstrap interval of the gain, test cases drawn again.
        high: its other end.
    """

    title: str
    numbers: tuple[int, ...]
    dice: tuple[float, ...]
    gain: float
    low: float
    high: float


def learning_curves(entrants: Sequence[Entrant], reading: str, axis: Axis) -> list[LearningCurve]:
    """A curve for every method that learned from three different numbers or more.

    Dice is taken to follow a − b n⁻ᶜ with a ≤ 1, b ≥ 0 and 0.1 ≤ c ≤ 2, fitted by least squares.
    """
    curves: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for one in entrants:
        number = axis.number(one.results[0])
        if number is not None:
            curves[one.title.partition(f" {axis.field}=")[0]][number] = one.by_case(reading, "dsc")
    return [_curve(title, points, axis.ahead) for title, points in curves.items() if len(points) >= _LEAST]


def expected(numbers: Floats, dice: Floats, wanted: float) -> float:
    """Dice that the fitted curve says of a number.

    Args:
        numbers: ``(n,)`` of patients or points.
        dice: ``(n,)`` Dice at each.
        wanted: the number.
    """
    fits = [(*_fitted(numbers, dice, exponent), exponent) for exponent in _EXPONENTS]
    _, ceiling, slope, exponent = min(fits)
    return float(ceiling - slope * wanted**-exponent)


def _curve(title: str, points: dict[int, dict[str, float]], ahead: int) -> LearningCurve:
    numbers = sorted(points)
    cases = sorted(set.intersection(*(set(points[n]) for n in numbers)))
    values = np.array([[points[n][case] for case in cases] for n in numbers])
    draws = np.random.default_rng(0).integers(len(cases), size=(_RESAMPLES, len(cases)))
    gains = [_gain(numbers, values[:, draw].mean(1), ahead) for draw in draws]
    low, high = np.percentile(gains, [2.5, 97.5])
    dice = values.mean(1)
    gain = _gain(numbers, dice, ahead)
    return LearningCurve(title, tuple(numbers), tuple(dice.tolist()), gain, float(low), float(high))


def _gain(numbers: Sequence[int], dice: Floats, ahead: int) -> float:
    known = np.array(numbers, dtype=float)
    return expected(known, dice, known[-1] + ahead) - expected(known, dice, known[-1])


def _fitted(numbers: Floats, dice: Floats, exponent: float) -> tuple[float, float, float]:
    """Squared error, a and b of the best a − b n⁻ᶜ for one c: 1 − Dice is (1 − a) + b n⁻ᶜ with neither negative."""
    columns = np.stack([np.ones_like(numbers), numbers**-exponent], axis=1)
    (missing, slope), error = nnls(columns, 1 - dice)
    return float(error), float(1 - missing), float(slope)
