"""Means over cases with bootstrap intervals; undefined values are counted, never dropped in silence."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from pointillist.evaluate.table import Row
from pointillist.types import Floats

ALL_CLASSES = "all classes"
RESAMPLES = 2000

DEFINITION = (
    "mean: over cases for each class; for 'all classes' the mean of those class means. "
    "std: over cases (divided by n), for 'all classes' of each case's mean over its classes. "
    f"low, high: 95 % percentile bootstrap interval of the mean, {RESAMPLES} resamples of whole cases. "
    "n: defined values. undefined: values left out of the mean."
)


def summarise(rows: Iterable[Row], *, seed: int = 0) -> list[dict[str, Any]]:
    """Summarise a long table per class and metric, then over classes where there are several.

    Args:
        rows: of one evaluation; every case has every class of its metrics.
        seed: of the bootstrap.

    Returns:
        One dictionary a class and metric, in order of appearance, with ``class``, ``metric``, ``unit``, ``mean``,
        ``std``, ``low``, ``high``, ``n``, ``undefined``; numbers are None where nothing is defined, and the interval
        is where fewer than two cases are. See ``DEFINITION``.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.metric, row.unit), []).append(row)
    lines = [line for (metric, unit), group in groups.items() for line in _lines(metric, unit, group, seed)]
    order = {cls: i for i, cls in enumerate(dict.fromkeys(line["class"] for line in lines))}
    last = len(order)
    return sorted(lines, key=lambda line: last if line["class"] == ALL_CLASSES else order[line["class"]])


def _lines(metric: str, unit: str, rows: list[Row], seed: int) -> list[dict[str, Any]]:
    cases = {case: i for i, case in enumerate(dict.fromkeys(row.case for row in rows))}
    classes = {cls: j for j, cls in enumerate(dict.fromkeys(row.cls for row in rows))}
    values = np.full((len(cases), len(classes)), np.nan)
    for row in rows:
        values[cases[row.case], classes[row.cls]] = np.nan if row.value is None else row.value
    defined = ~np.isnan(values)
    weights = resample_weights(len(cases), seed)
    replicates = _mean(weights @ np.where(defined, values, 0), weights @ defined)
    lines = [
        _line(cls, metric, unit, column, float(np.nanmean(column)) if kept.any() else np.nan, spread)
        for cls, column, kept, spread in zip(classes, values.T, defined.T, replicates.T, strict=True)
    ]
    if len(classes) > 1:
        means = np.array([np.nan if line["mean"] is None else line["mean"] for line in lines])
        overall = _line(
            ALL_CLASSES, metric, unit, _mean_of_rows(values), float(_mean_of_rows(means[None])[0]),
            _mean_of_rows(replicates),
        )  # fmt: skip
        n = int(defined.sum())
        lines.append({**overall, "n": n, "undefined": values.size - n})
    return lines


def _line(cls: str, metric: str, unit: str, values: Floats, mean: float, replicates: Floats) -> dict[str, Any]:
    """One line of the summary: ``(cases,)`` values with their mean, ``(resamples,)`` replicates of it."""
    known = values[~np.isnan(values)]
    spread = replicates[~np.isnan(replicates)] if known.size > 1 else np.empty(0)
    low, high = np.percentile(spread, [2.5, 97.5]) if spread.size else (np.nan, np.nan)
    numbers = {"mean": mean, "std": known.std() if known.size else np.nan, "low": low, "high": high}
    return {
        "class": cls,
        "metric": metric,
        "unit": unit,
        **{name: None if np.isnan(x) else float(x) for name, x in numbers.items()},
        "n": known.size,
        "undefined": values.size - known.size,
    }


@lru_cache(maxsize=4)
def resample_weights(cases: int, seed: int) -> Floats:
    """``(resamples, cases)`` how often each case is drawn; the same draws for every metric of the same cases."""
    draws = np.random.default_rng(seed).multinomial(cases, np.full(cases, 1 / cases), size=RESAMPLES)
    return draws.astype(np.float64)


def _mean(total: Floats, count: Floats) -> Floats:
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return means


def _mean_of_rows(values: Floats) -> Floats:
    """Mean of each row's defined values, NaN where a row has none."""
    defined = ~np.isnan(values)
    return _mean(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1).astype(np.float64))
