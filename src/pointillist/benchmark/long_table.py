"""Results as one long table, for whoever wants to compute with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.published import table_of
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
    for reading, content in result["readings"].items():
        for line in content["summary"]:
            row = known | {"reading": reading} | {key: line[key] for key in COLUMNS if key in line}
            yield from (row | beside for beside in _beside(result["method"], line, papers))


def _beside(method: str, line: Mapping[str, Any], papers: Sequence[str]) -> list[dict[str, Any]]:
    found = [
        {"paper": place, "published": figures[method], "difference": round(line["mean"] - figures[method], 6)}
        for place in papers
        if line["mean"] is not None
        and method in (figures := table_of(place, line["metric"], line["unit"], cls=line["class"]))
    ]
    return found or [{}]
