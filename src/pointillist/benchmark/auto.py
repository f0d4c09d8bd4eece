"""``train --method auto``: look at the dataset, look it up in the table, and say what was chosen and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointillist.benchmark.advice import (
    IMAGES,
    LONG,
    MARKS,
    Advice,
    Evidence,
    advice,
    advised,
    budget_of,
    cited,
    pixels,
    titled,
)
from pointillist.data.dataset import Dataset
from pointillist.data.kind import DatasetKind, kind_of
from pointillist.methods import Recipe, method_named
from pointillist.methods._settings import settings_of

AUTO = "auto"
"""In place of a method's name."""
BUDGETS = {"short": f"fewer than {LONG:,} iterations", "long": f"{LONG:,} iterations or more"}


@dataclass(frozen=True)
class Choice:
    """What ``auto`` stands for in a run.

    Attributes:
        method: its name.
        settings: where they differ from its defaults; those that weigh sums over pixels at the run's images.
        recipe: of its optimisation, as in the evidence, and the images a step that were asked for, else those there.
        net: name of the network in the evidence.
        reason: one line for the user, and for ``run.json``.
    """

    method: str
    settings: dict[str, Any]
    recipe: Recipe
    net: str
    reason: str


def choose(
    dataset: Dataset,
    iterations: int,
    options: Mapping[str, Any],
    *,
    cases: Collection[str] | None = None,
    rows: Sequence[Advice] | None = None,
) -> Choice:
    """Choose a method for a dataset.

    Args:
        dataset: that is learned from.
        iterations: optimiser steps.
        options: of the run, those of ``pointillist.benchmark.advice.OPTIONS``; the reason says where the evidence was
            got with others. Without ``batch`` it is the evidence's.
        cases: training cases that may be looked at; None for all.
        rows: the table; None for the package's.

    Raises:
        InputError: if nothing is marked.
    """
    kind = kind_of(dataset, cases)
    row = advised(advice() if rows is None else rows, kind.marks, kind.images, iterations)
    if row is None:
        return Choice(
            "pce", {}, Recipe(), "unet", "pce: the table of advice is empty, and every method builds on this one"
        )
    base = row.nearest(kind.slices)
    options = {"batch": base.options["batch"], **options}
    settings = _as_strong(row.method, base, options)
    reason = _reason(row, base, settings, kind, iterations, options)
    recipe = Recipe(**row.recipe | {"batch": options["batch"]})
    return Choice(row.method, settings, recipe, row.net, reason)


def _as_strong(method: str, base: Evidence, options: Mapping[str, Any]) -> dict[str, Any]:
    """The evidence's settings, as strong a pixel as there."""
    kind = method_named(method)
    factor = pixels(base.options) / pixels(options)
    if factor == 1:
        return dict(base.settings)
    known = {name: one.default for name, one in settings_of(kind).items()} | base.settings
    return base.settings | {name: float(f"{known[name] * factor:.3g}") for name in kind.weigh_sums}


def _reason(
    row: Advice,
    base: Evidence,
    settings: Mapping[str, Any],
    kind: DatasetKind,
    iterations: int,
    options: Mapping[str, Any],
) -> str:
    found = f"{MARKS[kind.marks]} on {IMAGES[kind.images]}, {BUDGETS[budget_of(iterations)]}"
    place = f"{MARKS[row.marks]} on {IMAGES[row.images]}, {BUDGETS[row.budget]}"
    why = found if place == found else f"{found}: no results, so what was best for {place}"
    others = [f"--{name} {value}" for name, value in base.options.items() if options[name] != value]
    others += [f"{name}={value}" for name, value in base.settings.items() if settings[name] != value]
    apart = f"; these runs had {' '.join(others)}" if others else ""
    return f"{titled(row.method, settings)}, for {why}; {'; '.join(map(cited, row.evidence))}{apart}"
