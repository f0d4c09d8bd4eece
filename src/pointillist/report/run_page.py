"""The page of one or several runs: what they are, how they went, how good they are, and pictures of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_label
from pointillist.errors import InputError
from pointillist.evaluate.protocol import DEFINITIONS
from pointillist.evaluate.summary import ALL_CLASSES
from pointillist.evaluate.table import Row
from pointillist.report.figures import loss_curves
from pointillist.report.page import render
from pointillist.report.picture import busiest_slice, marked_picture, outlines
from pointillist.runtime.events import read_events
from pointillist.types import LabelMap

SHOWN = {
    "dsc": "Dice coefficient",
    "hd95_pooled_bounded": "HD95, pooled and bounded",
    "assd_pooled": "Average surface distance, pooled",
}
"""Metrics with a table in the page."""


@dataclass(frozen=True, eq=False)
class RunResult:
    """A run and, where there is one, its evaluation.

    Attributes:
        name: of the run.
        plan: what was asked for.
        machine: what it ran on.
        provenance: of its model: data, minutes, memory.
        events: of its log.
        rows: evaluation, one row a case, class and metric.
        summary: of the rows.
        predictions: folder of its predictions, for pictures.
    """

    name: str
    plan: dict[str, Any]
    machine: dict[str, Any]
    provenance: dict[str, Any]
    events: Sequence[dict[str, Any]]
    rows: Sequence[Row] = ()
    summary: Sequence[dict[str, Any]] = ()
    predictions: Path | None = None


@dataclass(frozen=True, eq=False)
class ComparedCase:
    """One case as every run sees it.

    Attributes:
        title: which case, and why it is shown.
        pictures: caption and JPEG: image, marks, truth, then each run's prediction.
    """

    title: str
    pictures: list[tuple[str, bytes]] = field(default_factory=list)


def run_page(title: str, runs: Sequence[RunResult], cases: Sequence[ComparedCase] = ()) -> str:
    """The HTML page.

    Args:
        title: of the page.
        runs: in the order they are shown.
        cases: pictures.
    """
    return render(
        "runs.html",
        title=title,
        runs=runs,
        curves=[Markup(loss_curves(run.events)) for run in runs],  # noqa: S704 - drawn by matplotlib, from numbers
        tables=_tables(runs),
        cases=cases,
    )


def chosen_cases(reference: RunResult) -> list[tuple[str, str]]:
    """The best, the median and the worst case of a run by mean DSC, so that nobody picks them.

    Returns:
        Case id and why it is shown; empty without an evaluation.
    """
    scores: dict[str, list[float]] = {}
    for row in reference.rows:
        if row.metric == "dsc" and row.value is not None:
            scores.setdefault(row.case, []).append(row.value)
    means = {case: sum(values) / len(values) for case, values in scores.items()}
    ranked = sorted(means, key=lambda case: (means[case], case))
    if not ranked:
        return []
    picks = (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1]))
    return [(case, f"{why} case of {reference.name}, mean DSC {means[case]:.3f}") for why, case in picks]


def compare(case_id: str, why: str, dataset: Dataset, runs: Sequence[RunResult]) -> ComparedCase:
    """Pictures of one held-out case on one slice: image, marks where it has some, truth, every run's prediction."""
    case = dataset.case(case_id)
    image, truth = dataset.image(case), dataset.dense_labels(case).array
    border = outlines(truth, image)
    number = busiest_slice(border, image) if truth.ndim == 3 else None
    shown: dict[str, LabelMap | None] = {"image": None}
    if dataset.sparse and case.sparse is not None and case.sparse.exists():
        shown["marks"] = dataset.sparse_labels(case).array
    shown["truth"] = border
    for run in runs:
        if run.predictions is not None:
            shown[run.name] = outlines(read_label(next(run.predictions.glob(f"{case_id}.*"))).array, image)
    pictures = [
        (caption, marked_picture(image, labels, dataset.spec, slice_number=number)[0])
        for caption, labels in shown.items()
    ]
    return ComparedCase(f"{case_id}: {why}", pictures)


def read_run(run: Path) -> RunResult:
    """What a run's folder says about it.

    Raises:
        InputError: if it holds no run.
    """
    path = run / "run.json"
    if not path.is_file():
        raise InputError(
            "this folder holds no run",
            where=run,
            expected="run.json",
            received="none",
            todo="name a folder that `pointillist train` wrote",
        )
    content = json.loads(path.read_bytes())
    model = run / "model.json"
    provenance = json.loads(model.read_bytes())["provenance"] if model.is_file() else {}
    events = list(read_events(run / "events.jsonl"))
    return RunResult(run.name, content["plan"], content["machine"], provenance, events)


def _tables(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """One table a metric: a line a run, a column a class; mean, interval and undefined cases."""
    tables = []
    for metric, title in SHOWN.items():
        lines = [{line["class"]: line for line in run.summary if line["metric"] == metric} for run in runs]
        classes = list(dict.fromkeys(cls for line in lines for cls in line))
        if classes:
            units = {entry["unit"] for line in lines for entry in line.values()} - {"1"}
            tables.append(
                {
                    "title": title + (f" ({', '.join(sorted(units))})" if units else ""),
                    "definition": DEFINITIONS[metric],
                    "classes": sorted(classes, key=lambda cls: cls == ALL_CLASSES),
                    "lines": [(run.name, line) for run, line in zip(runs, lines, strict=True) if line],
                }
            )
    return tables
