"""Figures of the five papers' tables, under the names of our methods."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One number of a paper's table.

    Attributes:
        source: the paper, by the name of its method.
        table: its number.
        dataset: as the paper names it.
        annotation: what was marked, in words.
        protocol: split, in words.
        method: as the paper names it.
        role: ``proposed``, ``compared``, ``ablation`` or ``bound``.
        target: class as the paper names it; ``avg``, the mean over classes.
        metric: ``DSC``, ``HD95`` …
        value: the number; fractions run from 0 to 1.
        std: its spread as printed, or None.
        registry: the method's name here; variants stand after a colon.
    """

    source: str
    table: str
    dataset: str
    annotation: str
    protocol: str
    method: str
    role: Literal["proposed", "compared", "ablation", "bound"]
    target: str
    metric: str
    value: float
    std: float | None
    registry: str


@cache
def published() -> tuple[Figure, ...]:
    """All figures, in the order of the papers and their tables."""
    path = files("pointillist.benchmark") / "published.csv"
    return tuple(_figure(row) for row in csv.DictReader(path.read_text("utf-8").splitlines()))


def means(
    dataset: str, metric: str, roles: Iterable[str] = ("proposed", "compared", "bound")
) -> dict[str, dict[str, float]]:
    """Means over classes on one dataset: what each paper's table says of each of our methods.

    Args:
        dataset: as the papers name it.
        metric: as the papers name it.
        roles: of the methods that are wanted.

    Returns:
        By ``PAPER, table N``, and by registry name.
    """
    found: dict[str, dict[str, float]] = {}
    for one in published():
        if (one.dataset, one.metric, one.target) == (dataset, metric, "avg") and one.role in roles:
            found.setdefault(f"{one.source}, table {one.table}", {})[one.registry] = one.value
    return found


def _figure(row: dict[str, str]) -> Figure:
    kept = {name: text for name, text in row.items() if name in Figure.__dataclass_fields__}
    numbers = {"value": float(row["value"]), "std": float(row["std"]) if row["std"] else None}
    return Figure(**(kept | numbers))  # type: ignore[arg-type]
