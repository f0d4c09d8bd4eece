"""Figures of the five papers' tables, under the names of our methods, classes and metrics."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pointillist.evaluate.summary import ALL_CLASSES

Role = Literal["proposed", "compared", "ablation", "bound"]


@dataclass(frozen=True)
class Figure:
    """One number of a paper's table.

    Attributes:
        source: the paper, by the name of its method.
        table: its number.
        dataset: as the paper names it.
        annotation: what was marked, in words.
        protocol: split, in words.
        printed: the method as the paper names it.
        method: its name here; variants stand after a colon.
        role: of the method in the paper.
        cls: class by its name here; ``all classes`` for their mean.
        metric: by its name here.
        unit: ``1``, ``mm`` or ``voxel``.
        value: the number; fractions run from 0 to 1.
        std: its spread as printed, or None.
    """

    source: str
    table: str
    dataset: str
    annotation: str
    protocol: str
    printed: str
    method: str
    role: Role
    cls: str
    metric: str
    unit: str
    value: float
    std: float | None

    @property
    def place(self) -> str:
        """Where it stands: ``PCLMix, table 1, ACDC``."""
        return f"{self.source}, table {self.table}, {self.dataset}"


@cache
def published() -> tuple[Figure, ...]:
    """All figures, in the order of the papers and their tables."""
    path = files("pointillist.benchmark") / "published.csv"
    return tuple(_figure(row) for row in csv.DictReader(path.read_text("utf-8").splitlines()))


def table_of(
    place: str,
    metric: str = "dsc",
    unit: str = "1",
    *,
    cls: str = ALL_CLASSES,
    roles: Iterable[Role] = ("proposed", "compared", "bound"),
) -> dict[str, float]:
    """What a paper's table says of each of our methods.

    Args:
        place: as ``Figure.place``.
        metric: by its name here.
        unit: of the metric.
        cls: by its name here.
        roles: of the methods that are wanted.
    """
    return {
        one.method: one.value
        for one in published()
        if (one.place, one.metric, one.unit, one.cls) == (place, metric, unit, cls) and one.role in roles
    }


def _figure(row: dict[str, str]) -> Figure:
    texts = {name: text for name, text in row.items() if name not in ("class", "value", "std")}
    std = float(row["std"]) if row["std"] else None
    return Figure(**texts, cls=row["class"], value=float(row["value"]), std=std)  # type: ignore[arg-type]
