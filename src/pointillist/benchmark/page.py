"""The page of a benchmark: published against obtained, who differs from whom, cost against quality, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from markupsafe import Markup

from pointillist.benchmark.beside import beside
from pointillist.benchmark.comparison import OVERALL, Entrant, differences, ranks
from pointillist.benchmark.figures import cost_and_quality, critical_difference, learning
from pointillist.benchmark.learning import AXES, learning_curves
from pointillist.benchmark.paper_rows import standing_for
from pointillist.benchmark.per_class import number, spread_tables
from pointillist.benchmark.selection import LAST, MARGIN, MARKS, TEST, by_rule, share_within
from pointillist.benchmark.suite import load_suite, shipped
from pointillist.benchmark.under_rule import MethodUnderRule
from pointillist.errors import InputError, nearest
from pointillist.evaluate.objects import OBJECTS
from pointillist.evaluate.published import published_rule
from pointillist.report.page import render
from pointillist.report.run_page import ComparedCase

READINGS = {
    "plain": "with the BatchNorm statistics of training",
    "bordered": "plain, with the outermost columns made background",
    "recalibrated": "with BatchNorm statistics estimated again after training",
}
HEADS = {  # class, metric, unit, digits
    "DSC": (OVERALL, "dsc", "1", 3),
    "IoU": (OBJECTS, "iou", "1", 3),
    "mDice": (OBJECTS, "mdice_strict", "1", 3),
    "mDice, published rule": (OBJECTS, "mdice_published", "1", 3),
    "AJI": (OBJECTS, "aji", "1", 3),
    "Dice, pooled": (OVERALL, "pooled_dsc", "1", 3),
    "accuracy": (OVERALL, "pooled_accuracy", "1", 3),
    "precision": (OVERALL, "pooled_precision", "1", 3),
    "recall": (OVERALL, "pooled_recall", "1", 3),
    "κ": (OVERALL, "pooled_kappa", "1", 3),
    "AUC": (OVERALL, "pooled_auc", "1", 3),
    "HD95, voxels": (OVERALL, "hd95_pooled", "voxel", 1),
    "HD95, mm": (OVERALL, "hd95_pooled", "mm", 1),
    "HD95 bounded, mm": (OVERALL, "hd95_pooled_bounded", "mm", 1),
}
"""What a table shows of a suite, where its results have it."""
_PAIRED = {"dsc": ("DSC", True), "hd95_pooled_bounded_mm": ("HD95 bounded, mm", False)}
REFERENCE = "pce"
"""That methods are compared with, unless told otherwise."""


def benchmark_page(
    suites: Mapping[str, Sequence[Entrant]],
    *,
    reading: str = "plain",
    cases: Mapping[str, Sequence[ComparedCase]] | None = None,
    rule: str | None = None,
    ruled: Mapping[str, Sequence[MethodUnderRule]] | None = None,
    reference: str = REFERENCE,
) -> str:
    """The HTML page.

    Args:
        suites: methods and their results, by suite.
        reading: that comparisons are made on; tables show all.
        cases: pictures, by suite.
        rule: a public code's, by name.
        ruled: methods as it scores them, by suite.
        reference: what the others are compared with, case by case: a method's name, or the title of one of its rows.

    Raises:
        InputError: if no suite has a reference other than ``pce``.
    """
    known = {name for those in suites.values() for name in (*standing_for(those), *(one.title for one in those))}
    if reference not in known | {REFERENCE}:
        raise InputError(
            "no method of these results is called so",
            where="--reference",
            expected=", ".join(sorted(known)),
            received=reference,
            todo=nearest(reference, known),
        )
    sections = [
        _section(name, entrants, reading, (cases or {}).get(name, ()), reference)
        | {"ruled": _ruled(rule, (ruled or {}).get(name, ()))}
        for name, entrants in suites.items()
    ]
    return render("benchmark.html", title="Benchmark", suites=sections, meanings=READINGS)


def _section(
    name: str, entrants: Sequence[Entrant], reading: str, cases: Sequence[ComparedCase], reference: str
) -> dict[str, Any]:
    heads = {
        head: wanted
        for head, wanted in HEADS.items()
        if any(one.mean(reading, *wanted[:3]) is not None for one in entrants)
    }
    main = next(iter(heads.values()))
    ordered = sorted(entrants, key=lambda one: -(one.mean(reading, *main[:3]) or 0))
    tables = load_suite(name).published if name in shipped() else ()
    return {
        "name": name,
        "protocol": entrants[0].results[0]["protocol"],
        "made_by": made_by(entrants),
        "heads": list(heads),
        "readings": ordered[0].readings,
        "reading": reading,
        "rows": [row_of(one, heads, entrants) for one in ordered],
        "by_class": spread_tables(ordered, reading),
        "papers": [paper for place in tables if (paper := beside(place, ordered, reading))],
        "selection": _selection(ordered),
        "learning": _learning(ordered, reading),
        "pairs": _pairs(ordered, reading, reference),
        "drawings": _drawings(ordered, reading, main),
        "cases": cases,
    }


def made_by(entrants: Sequence[Entrant]) -> str:
    """Seeds, folds, data, hardware and commits of a suite's runs, in a sentence each."""
    results = [one for entrant in entrants for one in entrant.results]
    machines = _machines(entrants)
    named = [f"{mark} {machine}" for machine, mark in machines.items()] if len(machines) > 1 else [*machines]
    commits = {f"{x['code']['commit'][:8]}{'+' * x['code']['dirty']}" for x in results if x["code"]["commit"]}
    data = {f"{x['data']['name']} {x['data']['hash'][:8]}" for x in results}
    tuned = {f"{x['method']} {key}: {why}" for x in results for key, why in x["tuned"].items()}
    parts = {"Data": data, "Hardware": named, "Commits": commits, "Constants chosen by looking at results": tuned}
    return " ".join(f"{head}: {', '.join(sorted(found))}." for head, found in parts.items() if found)


def row_of(one: Entrant, heads: Mapping[str, tuple[str, str, str, int]], entrants: Sequence[Entrant]) -> dict[str, Any]:
    """A method's line of a suite's table: title, seeds, a cell a head with all readings, minutes and memory.

    Where the suite's runs have several folds, the line names its own, since means over unlike folds do not compare;
    where they were made on several machines, minutes are marked as ``made_by`` marks the machines.

    Args:
        one: the method.
        heads: class, metric, unit and digits by the head of a column.
        entrants: all methods of the suite.
    """
    cells = [
        " / ".join(number(one.mean(reading, *wanted[:3]), wanted[3]) for reading in one.readings)
        for wanted in heads.values()
    ]
    costs = [result["cost"] for result in one.results]
    seeds = ", ".join(dict.fromkeys(str(result["seed"]) for result in one.results))
    folds = sorted({result["fold"] for result in one.results if result["fold"] is not None})
    several = len({result["fold"] for entrant in entrants for result in entrant.results}) > 1
    of_folds = f" × fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))}"
    machines = _machines(entrants)
    marks = sorted({machines[_machine(result)] for result in one.results}) if len(machines) > 1 else []
    return {
        "title": one.title,
        "seeds": seeds + of_folds * several,
        "cells": cells,
        "minutes": f"{median(cost['train_minutes'] for cost in costs):.0f}{''.join(f' {mark}' for mark in marks)}",
        "memory": _memory(one),
    }


def _memory(one: Entrant) -> int:
    peak: int = max(max(result["cost"]["peak_memory_mb"].values()) for result in one.results)
    return peak


def _machines(entrants: Sequence[Entrant]) -> dict[str, str]:
    """Marks by what the runs of a suite were made on."""
    found = sorted({_machine(result) for entrant in entrants for result in entrant.results})
    return {machine: f"[{number}]" for number, machine in enumerate(found, start=1)}


def _machine(result: Mapping[str, Any]) -> str:
    known = result["hardware"]
    name = known["accelerator"] or known["processor"]
    return f"{name} ({known['threads']} threads a run, {known['precision']}, torch {known['torch']})"


def _ruled(code: str | None, methods: Sequence[MethodUnderRule]) -> dict[str, Any] | None:
    """Methods as a public code scores them, beside our rule."""
    if code is None or not methods:
        return None
    rule = published_rule(code)
    rows = [
        (
            x.title,
            [number(value, 3) for value in x.dsc]
            + [number(v, 1) + f" {unit}" * (v is not None) for v, unit in zip(x.hd95, x.unit, strict=True)],
            f"{x.decided[0]} of {x.decided[1]}",
            x.weights,
        )
        for x in methods
    ]
    return {"code": code, "source": rule.source, "weights": rule.weights, "border": rule.border, "rows": rows}


def _selection(entrants: Sequence[Entrant]) -> dict[str, Any] | None:
    """Which models the rules of selection take, run by run; None where runs kept no models."""
    runs = [
        (f"{one.title}, fold {result['fold']}, seed {result['seed']}", scores)
        for one in entrants
        for result in one.results
        if (scores := by_rule(result))
    ]
    if not runs:
        return None
    shares = {rule: share_within([scores for _, scores in runs], rule) for rule in (LAST, MARKS)}
    return {
        "rules": [LAST, MARKS, TEST],
        "rows": [(title, [number(scores.get(rule), 3) for rule in (LAST, MARKS, TEST)]) for title, scores in runs],
        "within": [f"{rule}: {share:.0%}" for rule, share in shares.items() if share is not None],
        "margin": MARGIN,
    }


def _learning(entrants: Sequence[Entrant], reading: str) -> list[dict[str, Any]]:
    """Learning curves, and what the next patients or points promise; none where all runs learned from as many."""
    found = [(axis, learning_curves(entrants, reading, axis)) for axis in AXES]
    return [
        {
            "drawing": Markup(learning(curves, axis.words)),  # noqa: S704 - drawn by matplotlib
            "words": axis.words,
            "ahead": axis.ahead,
            "rows": [(x.title, x.numbers[-1], f"{x.gain:+.3f}", f"{x.low:+.3f} … {x.high:+.3f}") for x in curves],
        }
        for axis, curves in found
        if curves
    ]


def _pairs(entrants: Sequence[Entrant], reading: str, wanted: str) -> list[dict[str, Any]]:
    """Every method against the reference: a row's title, or a method as it stands in the papers' tables.

    A suite without it compares with ``pce``, and with its worst where it lacks that too.
    """
    named = standing_for(entrants) | {one.title: one for one in entrants}
    reference = named.get(wanted) or named.get(REFERENCE) or entrants[-1]
    columns = entrants[0].results[0]["readings"][reading]["cases"]["columns"]
    titles = {one.label: one.title for one in entrants}
    tables = []
    for column, (what, _) in _PAIRED.items():
        found = differences(entrants, reference, reading, column) if column in columns else []
        rows = [
            {
                "title": titles[x.label],
                "mean": f"{x.mean:+.3f}",
                "interval": f"{x.low:+.3f} … {x.high:+.3f}",
                "p": f"{x.p:.3f}" if x.p >= 0.001 else "< 0.001",
                "cases": x.cases,
            }
            for x in found
        ]
        if rows:
            tables.append({"what": what, "reference": reference.title, "rows": rows})
    return tables


def _drawings(entrants: Sequence[Entrant], reading: str, main: tuple[str, str, str, int]) -> list[tuple[str, Markup]]:
    titles = {one.label: one.title for one in entrants}
    columns = entrants[0].results[0]["readings"][reading]["cases"]["columns"]
    drawn = []
    for column, (what, higher) in _PAIRED.items():
        places = ranks(entrants, reading, column, higher_is_better=higher) if column in columns else None
        if places is not None:
            drawn.append((f"Mean places by {what}", Markup(critical_difference(places, titles))))  # noqa: S704 - drawn
    quality = {one.title: one.mean(reading, *main[:3]) for one in entrants}
    minutes = {one.title: median(x["cost"]["train_minutes"] for x in one.results) for one in entrants}
    memory = {one.title: _memory(one) for one in entrants}
    for caption, cost, words in (
        ("Time and quality", minutes, "minutes of training"),
        ("Memory and quality", memory, "peak memory, MB"),
    ):
        points = {title: (cost[title], value) for title, value in quality.items() if value is not None}
        drawn.append((caption, Markup(cost_and_quality(points, words, "Dice"))))  # noqa: S704 - drawn by matplotlib
    return drawn
