"""The long table that an evaluation is: one row a case, class and metric."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["1", "mm", "voxel"]

COLUMNS = ("case", "class", "metric", "value", "unit", "n_ref", "n_pred", "reason")


@dataclass(frozen=True)
class Row:
    """One number, or the reason why there is none.

    Attributes:
        case: file name of the prediction without its ending.
        cls: class name, ``"objects"`` for instance metrics.
        metric: its name states its definition.
        value: None where undefined.
        unit: ``"1"`` for ratios, else the unit of the distance.
        n_ref: voxels of the class in the reference; objects for instance metrics.
        n_pred: likewise in the prediction.
        reason: why the value is undefined, else empty.
    """

    case: str
    cls: str
    metric: str
    value: float | None
    unit: Unit
    n_ref: int
    n_pred: int
    reason: str = ""

    def cells(self) -> tuple[str | float | int | None, ...]:
        """The row in the order of ``COLUMNS``."""
        return (
            self.case, self.cls, self.metric, self.value, self.unit, self.n_ref, self.n_pred, self.reason
        )  # fmt: skip


def make_row(case: str, cls: str, metric: str, value: float, unit: Unit, sizes: tuple[int, int], reason: str) -> Row:
    """A row from a metric's number; NaN becomes undefined, for the reason given.

    Args:
        case: as in ``Row``.
        cls: as in ``Row``.
        metric: as in ``Row``.
        value: the metric's number.
        unit: as in ``Row``.
        sizes: ``n_ref`` and ``n_pred``.
        reason: why the value is undefined if it is NaN.
    """
    if math.isnan(value):
        return Row(case, cls, metric, None, unit, *sizes, reason)
    return Row(case, cls, metric, value, unit, *sizes)


@dataclass(frozen=True)
class Evaluation:
    """Rows and what they mean.

    Attributes:
        rows: in the order of cases, classes, metrics.
        header: definitions by metric, protocol, unit, rule, version, notes; JSON values only.
        pooled: from ``pointillist.evaluate.pooled.pooled``; empty for objects.
    """

    rows: tuple[Row, ...]
    header: dict[str, Any]
    pooled: tuple[dict[str, Any], ...] = ()

    def to_json(self, summary: list[dict[str, Any]]) -> dict[str, Any]:
        """Header, summary, pooled metrics and rows as JSON values.

        Args:
            summary: from ``pointillist.evaluate.summary.summarise``.
        """
        rows = [dict(zip(COLUMNS, row.cells(), strict=True)) for row in self.rows]
        return {"header": self.header, "summary": summary, "pooled": list(self.pooled), "rows": rows}

    def to_csv(self) -> bytes:
        """The rows as UTF-8 CSV; an undefined value is an empty cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.cells() for row in self.rows)
        return text.getvalue().encode()
