"""Results as one long table, for whoever wants to compute with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pointillist.benchmark.beside import ours_of
from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.paper_rows import paper_row
from pointillist.benchmark.published import published
from pointillist.benchmark.suite import load_suite, shipped

COLUMNS = (
    "suite", "method", "settings", "fold", "seed", "reading", "class", "metric", "unit", "n", "undefined",
    "mean", "std", "low", "high", "paper", "published", "difference",
)  # fmt: skip


def long_table(suites: Mapping[str, Sequence[Entrant]]) -> str:
    """CSV with a line for every run, reading, class and metric, and one more for each paper beyond the first.

    ``published`` and ``difference`` are filled where a table that the suite names has the method, class and metric.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for suite, entrants in suites.items():
        papers = load_suite(suite).published if suite in shipped() else ()
        for one in entrants:
            for result in one.results:
                writer.writerows(_lines(suite, result, papers))
    return buffer.getvalue()


def _lines(suite: str, result: Mapping[str, Any], papers: Sequence[str]) -> Iterator[dict[str, Any]]:
    known = {
        "suite": suite,
        "method": result["method"],
        "settings": json.dumps(result["settings"], sort_keys=True),
        "fold": result["fold"],
        "seed": result["seed"],
    }
    rows = {place: paper_row(result, place) for place in papers}
    for reading, content in result["readings"].items():
        pooled = ({"unit": "1", **line, "mean": line["value"]} for line in content.get("pooled", ()))
        for line in (*content["summary"], *pooled):
            row = known | {"reading": reading} | {key: line[key] for key in COLUMNS if key in line}
            yield from (row | beside for beside in _beside(rows, line))


def _beside(rows: Mapping[str, str | None], line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The papers' figures of a row by table, of this class and metric; one empty line if there are none."""
    wanted = (line["class"], line["metric"], line["unit"])
    found = [
        {"paper": one.place, "published": one.value, "difference": round(line["mean"] - one.value, 6)}
        for one in published()
        if one.method == rows.get(one.place)
        and line["mean"] is not None
        and (*ours_of(one.metric, one.cls, line["class"]), one.unit) == wanted
    ]
    return found or [{}]
