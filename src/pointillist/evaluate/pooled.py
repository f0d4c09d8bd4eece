"""Metrics over all voxels of all cases at once, as histology papers state them for a fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointillist.evaluate import classify, overlap
from pointillist.evaluate.overlap import Confusion
from pointillist.evaluate.scores import ScoreCounts, auc_of
from pointillist.evaluate.summary import resample_weights
from pointillist.types import Floats

OF_COUNTS: tuple[Callable[[Confusion], float], ...] = (
    overlap.dsc, overlap.iou, classify.accuracy, classify.precision, classify.recall, classify.kappa,
)  # fmt: skip
PREFIX = "pooled_"
_REPLICATES_AT_ONCE = 50


@dataclass(frozen=True)
class CaseCounts:
    """What a case adds to a pool.

    Attributes:
        counts: by class name.
        scores: by class name; None where the case has no probabilities.
    """

    counts: dict[str, Confusion]
    scores: dict[str, ScoreCounts] | None = None


def pooled(cases: Sequence[CaseCounts], *, seed: int = 0) -> list[dict[str, Any]]:
    """Pool the voxels of all cases, so that large cases and large regions weigh more.

    Args:
        cases: all with the same classes.
        seed: of the bootstrap, which draws whole cases.

    Returns:
        One dictionary a class and metric with ``class``, ``metric`` (``pooled_…``), ``value``, ``low``, ``high`` and
        ``cases``; None where undefined, and intervals from two cases on. ``pooled_auc`` where every case has
        probabilities.
    """
    if not cases:
        return []
    lines = []
    weights = resample_weights(len(cases), seed)
    for cls in cases[0].counts:
        counts = np.array([case.counts[cls] for case in cases], dtype=np.float64)
        replicates = weights @ counts
        for metric in OF_COUNTS:
            spread = np.array([metric(_confusion(row)) for row in replicates])
            lines.append(_line(cls, metric.__name__, metric(_confusion(counts.sum(axis=0))), spread, len(cases)))
        lines += _auc_line(cls, cases, weights)
    return lines


def _auc_line(cls: str, cases: Sequence[CaseCounts], weights: Floats) -> list[dict[str, Any]]:
    scores = [case.scores[cls] for case in cases if case.scores is not None]
    if len(scores) < len(cases):
        return []
    inside, outside = (np.array(side, dtype=np.float64) for side in zip(*scores, strict=True))
    found = (inside.sum(axis=0) + outside.sum(axis=0)) > 0  # few of the possible scores occur
    inside, outside = inside[:, found], outside[:, found]
    parts = np.array_split(weights, max(len(weights) // _REPLICATES_AT_ONCE, 1))
    spread = np.concatenate([auc_of(part @ inside, part @ outside) for part in parts])
    return [_line(cls, "auc", float(auc_of(inside.sum(axis=0), outside.sum(axis=0))), spread, len(cases))]


def _confusion(row: Floats) -> Confusion:
    return Confusion(*(int(voxels) for voxels in row))


def _line(cls: str, metric: str, value: float, spread: Floats, cases: int) -> dict[str, Any]:
    known = spread[~np.isnan(spread)]
    low, high = np.percentile(known, [2.5, 97.5]).tolist() if cases > 1 and known.size else (None, None)
    defined = None if np.isnan(value) else value
    return {"class": cls, "metric": f"{PREFIX}{metric}", "value": defined, "low": low, "high": high, "cases": cases}
