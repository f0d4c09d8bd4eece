"""How a suite's methods do class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointillist.benchmark.comparison import Entrant, interval
from pointillist.evaluate.summary import ALL_CLASSES

_DISTANCE = "hd95_pooled"
_LEAST = 5  # cases that an interval needs
_SPREAD = (("Dice", "dsc", 3), ("HD95, mm", "hd95_pooled_mm", 1), ("HD95, voxels", "hd95_pooled_voxel", 1))


@dataclass(frozen=True)
class ClassTable:
    """Dice and HD95 of every method and class.

    Attributes:
        classes: of the foreground, in the order of their labels.
        unit: of HD95: ``mm``, or ``voxel`` where the data have no spacing.
        rows: title of a method, and a cell a class: ``0.812 / 7.4``, – for what is undefined in every case, and how
            many cases of all runs have no distance where some have none.
    """

    classes: tuple[str, ...]
    unit: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def class_table(entrants: Sequence[Entrant], reading: str) -> ClassTable | None:
    """Means over cases and runs; None where there is one class alone, which the main table shows.

    Args:
        entrants: the methods of a suite, in the order of the rows.
        reading: which of each run's readings.
    """
    classes = classes_of(entrants[0], reading)
    if len(classes) < 2:
        return None
    units = {line["unit"] for line in _lines(entrants[0], reading, _DISTANCE)}
    unit = "mm" if "mm" in units else "voxel"

    def cell(one: Entrant, cls: str) -> str:
        dice, distance = one.mean(reading, cls, "dsc", "1"), one.mean(reading, cls, _DISTANCE, unit)
        lines = _lines(one, reading, _DISTANCE)
        missing = sum(line["undefined"] for line in lines if (line["class"], line["unit"]) == (cls, unit))
        return f"{number(dice, 3)} / {number(distance, 1)}" + f" ({missing} undefined)" * bool(missing)

    return ClassTable(classes, unit, tuple((one.title, tuple(cell(one, cls) for cls in classes)) for one in entrants))


@dataclass(frozen=True)
class SpreadTable:
    """One metric of every method and class, with its spread over the cases.

    Attributes:
        what: the metric, with its unit.
        classes: of the foreground, and all of them where there are several.
        rows: title of a method, and a cell a class: ``0.812 ± 0.071 [0.790, 0.833]``, and the number of cases where
            not all define it. Below five cases there is no interval.
    """

    what: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def spread_tables(entrants: Sequence[Entrant], reading: str) -> list[SpreadTable]:
    """Mean ± standard deviation over cases, each the mean of its seeds, and the mean's 95 % bootstrap interval.

    All classes: of each case the mean over the classes defined in it. A metric that no case defines is left out.

    Args:
        entrants: the methods of a suite, in the order of the rows.
        reading: which of each run's readings.
    """
    columns = entrants[0].results[0]["readings"][reading]["cases"]["columns"]
    classes = classes_of(entrants[0], reading)
    shown = (*classes, *[ALL_CLASSES] * (len(classes) > 1))

    def cell(one: Entrant, column: str, cls: str, digits: int) -> str:
        by_case = one.by_case(reading, column, None if cls == ALL_CLASSES else cls)
        values = np.array(list(by_case.values()))
        if not len(values):
            return "–"
        parts = [f"{values.mean():.{digits}f} ± {values.std():.{digits}f}"]
        if len(values) >= _LEAST:
            parts.append("[" + ", ".join(f"{bound:.{digits}f}" for bound in interval(values)) + "]")
        if len(values) < len(one.by_case(reading, "dsc")):
            parts.append(f"({len(values)} cases)")
        return " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)  # a narrow page breaks between

    tables = [
        SpreadTable(
            what, shown, tuple((one.title, tuple(cell(one, column, cls, digits) for cls in shown)) for one in entrants)
        )
        for what, column, digits in _SPREAD
        if column in columns
    ]
    return [table for table in tables if any(text != "–" for _, cells in table.rows for text in cells)]


def classes_of(one: Entrant, reading: str) -> tuple[str, ...]:
    """The foreground classes that a method was evaluated on."""
    lines = one.results[0]["readings"][reading]["summary"]
    return tuple(line["class"] for line in lines if line["metric"] == "dsc" and line["class"] != ALL_CLASSES)


def _lines(one: Entrant, reading: str, metric: str) -> list[dict[str, Any]]:
    return [
        line for result in one.results for line in result["readings"][reading]["summary"] if line["metric"] == metric
    ]


def number(value: float | None, digits: int) -> str:
    """A cell of a table; – for None."""
    return "–" if value is None else f"{value:.{digits}f}"
