"""Which method to use, from what the benchmark found: the table, and looking up a dataset in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal

from pydantic import TypeAdapter

from pointillist.data.kind import ImagesKind, MarksKind

TABLE = "advice.json"
LONG = 3000
"""Iterations from which a budget is long."""
OPTIONS = ("size", "batch", "augmentation", "normalisation", "grid")
MARKS = {"points": "points", "scribbles": "scribbles", "any": "marks of any kind"}
IMAGES = {
    "organs": "organs",
    "nuclei": "nuclei",
    "tissue": "tissue",
    "any": "images of any kind",
}

Budget = Literal["short", "long"]


def budget_of(iterations: int) -> Budget:
    """``short`` below ``LONG`` iterations."""
    return "short" if iterations < LONG else "long"


@dataclass(frozen=True)
class Evidence:
    """What a method reached on a track.

    Attributes:
        suite: the track.
        settings: of the method there, where they differ from its defaults.
        iterations: optimiser steps.
        options: of the data, ``OPTIONS`` of ``train``.
        slices: that were trained on.
        dsc: mean Dice over cases, classes and runs, with the BatchNorm statistics of training.
        reference: that of ``pce`` over the same folds, all its seeds.
        hd95: mean of ``hd95_pooled_bounded``.
        hd95_reference: that of ``pce`` over the same folds.
        unit: of it.
        folds: that were run, but for those by which a setting was chosen; None stands for the held-out cases of the
            dataset.
        seeds: that were run.
        minutes: median of training.
        commits: of the code.
    """

    suite: str
    settings: dict[str, Any]
    iterations: int
    options: dict[str, Any]
    slices: int
    dsc: float
    reference: float
    hd95: float | None
    hd95_reference: float | None
    unit: str
    folds: tuple[int | None, ...]
    seeds: tuple[int, ...]
    minutes: float
    commits: tuple[str, ...]


@dataclass(frozen=True)
class Advice:
    """A row of the table.

    Attributes:
        marks: it is for.
        images: likewise.
        budget: likewise.
        method: to use.
        recipe: of its optimisation on the tracks.
        net: name of the network there.
        gain: mean gain over ``pce`` on all tracks of the row; one on which the method was not run counts 0.
        tracks: how many the row looked at.
        evidence: of each of them on which the method was run.
    """

    marks: MarksKind | Literal["any"]
    images: ImagesKind | Literal["any"]
    budget: Budget
    method: str
    recipe: dict[str, Any]
    net: str
    gain: float
    tracks: int
    evidence: tuple[Evidence, ...]

    def nearest(self, slices: int) -> Evidence:
        """The evidence of the track whose number of training slices is nearest; its settings are to be used.

        Tracks of a row differ in settings that count epochs alone, whose length is that number.
        """
        return min(self.evidence, key=lambda one: abs(math.log(one.slices / max(slices, 1))))


@cache
def advice() -> tuple[Advice, ...]:
    """The table that comes with the package."""
    text = (files("pointillist.benchmark") / TABLE).read_text("utf-8")
    return TypeAdapter(tuple[Advice, ...]).validate_json(text)


def advised(rows: Sequence[Advice], marks: MarksKind, images: ImagesKind, iterations: int) -> Advice | None:
    """The row for a dataset: of its marks and images, else of its marks, else of all; its budget before the other.

    Args:
        rows: the table.
        marks: of the dataset.
        images: of the dataset.
        iterations: of the run.

    Returns:
        None where the table has not even a row for everything.
    """
    found: dict[tuple[str, str, str], Advice] = {(row.marks, row.images, row.budget): row for row in rows}
    budgets = sorted(("short", "long"), key=lambda budget: budget != budget_of(iterations))
    places = product(((marks, images), (marks, "any"), ("any", "any")), budgets)
    return next((found[*place, budget] for place, budget in places if (*place, budget) in found), None)


def pixels(options: Mapping[str, Any]) -> int:
    """Of a batch, over which some terms are sums.

    Args:
        options: ``size`` and ``batch`` of a run.
    """
    return int(options["batch"]) * int(options["size"]) ** 2


def titled(method: str, settings: Mapping[str, Any]) -> str:
    """A method and its settings, for people."""
    return " ".join([method, *(f"{name}={value}" for name, value in settings.items())])


def cited(one: Evidence) -> str:
    """A row's evidence: ``acdc-quick: DSC 0.813 against 0.362 of pce (seeds 1, 2, 3; commit 1df12faf)``."""
    seeds = f"seed{'s' * (len(one.seeds) > 1)} {', '.join(map(str, one.seeds))}"
    folds = f"{len(one.folds)} folds, " if len(one.folds) > 1 else ""
    commits = ", ".join(commit[:8] for commit in one.commits)
    return f"{one.suite}: DSC {one.dsc:.3f} against {one.reference:.3f} of pce ({folds}{seeds}; commit {commits})"
