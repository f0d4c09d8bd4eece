"""A paper's figures beside those obtained, with both protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from scipy.stats import spearmanr

from pointillist.benchmark.comparison import OVERALL, Entrant
from pointillist.benchmark.paper_rows import standing_for
from pointillist.benchmark.per_class import number
from pointillist.benchmark.published import Figure, published
from pointillist.evaluate.objects import OBJECTS
from pointillist.evaluate.summary import ALL_CLASSES

_TARGET = "target"
"""The papers' name of the one class of a tissue; their figures are read as pooled over a fold."""
_LEAST = 4  # methods that make an order


@dataclass(frozen=True)
class PaperTable:
    """One metric of a paper's table.

    Attributes:
        what: the metric, with its unit unless that is 1.
        classes: of the columns, by the paper's order.
        rows: title of our method and a cell a class, ``published · obtained · difference``; best published first.
        rho: Spearman's ρ of both orders; None for fewer than four methods, or where they were run on unlike folds.
    """

    what: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    rho: float | None


@dataclass(frozen=True)
class Beside:
    """A paper's table beside a suite.

    Attributes:
        place: as ``Figure.place``.
        tables: one a metric that both have.
        protocol: line by line what, how the paper got it, how it was got here.
    """

    place: str
    tables: tuple[PaperTable, ...]
    protocol: tuple[tuple[str, str, str], ...]


def beside(place: str, entrants: Sequence[Entrant], reading: str) -> Beside | None:
    """A paper's table and ours, rows and classes that both have; None if there are none.

    Args:
        place: the paper's table, as ``Figure.place``.
        entrants: the methods of a suite.
        reading: which of our readings.
    """
    mine = standing_for(entrants, place)
    figures = [one for one in published() if one.place == place and one.method in mine]
    tables = [
        table
        for metric, unit in dict.fromkeys((one.metric, one.unit) for one in figures)
        if (table := _table([x for x in figures if (x.metric, x.unit) == (metric, unit)], mine, reading))
    ]
    if not tables:
        return None
    ours = _our_protocol(mine[figures[0].method].results[0])
    protocol = tuple((what, said, ours.get(what, "")) for what, said in _protocols().get(place, {}).items())
    return Beside(place, tuple(tables), protocol)


def ours_of(metric: str, cls: str, target: str = OVERALL) -> tuple[str, str]:
    """Class and metric here of a class and metric of the papers.

    Args:
        metric: the paper's, by its name here.
        cls: likewise.
        target: what the one class of a tissue is called here.
    """
    return (target, f"pooled_{metric}") if cls == _TARGET else (cls, metric)


def _table(figures: Sequence[Figure], mine: Mapping[str, Entrant], reading: str) -> PaperTable | None:
    metric, unit = figures[0].metric, figures[0].unit
    pairs: dict[tuple[str, str], tuple[float, float]] = {}
    for one in figures:
        cls, name = ours_of(metric, one.cls)
        obtained = mine[one.method].mean(reading, cls, name, unit)
        if obtained is not None:
            pairs[one.method, one.cls] = (one.value, obtained)
    classes = tuple(dict.fromkeys(one.cls for one in figures if any(cls == one.cls for _, cls in pairs)))
    overall = next((cls for cls in (ALL_CLASSES, OBJECTS, _TARGET) if cls in classes), None)
    if overall is None:
        return None
    digits = 3 if unit == "1" else 1
    best = sorted((value if unit != "1" else -value, row) for (row, cls), (value, _) in pairs.items() if cls == overall)
    rows = [row for _, row in best]

    def cell(row: str, cls: str) -> str:
        theirs, ours = pairs.get((row, cls), (None, None))
        if theirs is None or ours is None:
            return "–"
        return f"{number(theirs, digits)} · {number(ours, digits)} · {ours - theirs:+.{digits}f}"

    orders = zip(*(pairs[row, overall] for row in rows), strict=True)
    alike = len({_folds(mine[row]) for row in rows}) == 1
    return PaperTable(
        metric + f", {unit}" * (unit != "1"),
        classes,
        tuple((_titled(row, mine[row], alike=alike), tuple(cell(row, cls) for cls in classes)) for row in rows),
        float(spearmanr(*orders).statistic) if alike and len(rows) >= _LEAST else None,
    )


def _titled(row: str, one: Entrant, *, alike: bool) -> str:
    """Our title, the row's name where that says more, and the folds where methods were run on unlike ones."""
    variant = f" ({row.partition(':')[2]})" if ":" in row else ""
    return one.title + variant + ("" if alike else f", folds {_folds(one)}")


def _folds(one: Entrant) -> str:
    return ", ".join(sorted({str(result["fold"]) for result in one.results}))


@cache
def _protocols() -> dict[str, dict[str, str]]:
    text = (files("pointillist.benchmark") / "published_protocols.yaml").read_text("utf-8")
    found: dict[str, dict[str, str]] = yaml.safe_load(text)
    return found


def _our_protocol(result: Mapping[str, Any]) -> dict[str, str]:
    """What stands beside a paper's protocol, from the results file."""
    data, training = result["data"], result["training"]
    fold = f" (fold {result['fold']})" if result["fold"] is not None else ""
    marks = data["source"].get("marks")
    return {
        "data": f"{data['name']}, {data['training_cases']} cases trained on, {data['evaluated_cases']} tested{fold}",
        "marks": f"generator {marks['generator']}, seed {marks['seed']}" if marks else "as they come with the data",
        "network": training["net"],
        "image": f"{training['size']}²",
        "iterations": f"{training['iterations']:,}",
        "weights": "last iterate" if training["select"] == "last" else "best on held-out marks",
        "HD95": "millimetres and voxels; undefined where one mask is empty, and counted",
        "figures": "pooled over the pixels of a fold; the mean over folds",
    }
