"""Methods of a suite side by side: means over seeds, paired differences, and ranks over cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

from pointillist.benchmark.results import read_result
from pointillist.errors import InputError
from pointillist.evaluate.objects import OBJECTS
from pointillist.types import Floats

LEVEL = 0.05
OVERALL = "*"
"""In place of a class: the mean over classes, or the class where there is only one."""
_RESAMPLES = 10_000


@dataclass(frozen=True)
class Entrant:
    """A method with its settings, and the results of its runs.

    Attributes:
        label: unique within the suite.
        title: for people.
        results: of every fold and seed, in order.
    """

    label: str
    title: str
    results: tuple[dict[str, Any], ...]

    @property
    def method(self) -> str:
        """Name of the method."""
        name: str = self.results[0]["method"]
        return name

    @property
    def readings(self) -> list[str]:
        """Names of the readings, in order."""
        return list(self.results[0]["readings"])

    def mean(self, reading: str, cls: str, metric: str, unit: str) -> float | None:
        """Mean over the runs that define it, or None; pooled metrics are values of a run.

        Args:
            reading: by name.
            cls: class; ``OVERALL`` for the mean over classes, or the class where there is only one.
            metric: by name.
            unit: of the metric.
        """
        values = (_value(one["readings"][reading], cls, metric, unit) for one in self.results)
        found = [value for value in values if value is not None]
        return sum(found) / len(found) if found else None

    def by_case(self, reading: str, column: str, cls: str | None = None) -> dict[str, float]:
        """Of each case the mean over its classes and over the seeds; cases without a value are left out.

        Args:
            reading: by name.
            column: of the table of cases.
            cls: the one class that is wanted; None for all of them.
        """
        values: dict[str, list[float]] = defaultdict(list)
        for one in self.results:
            table = one["readings"][reading]["cases"]
            place = table["columns"].index(column)
            for row in table["rows"]:
                if row[place] is not None and cls in (None, row[1]):
                    values[row[0]].append(row[place])
        return {case: sum(found) / len(found) for case, found in values.items()}


@dataclass(frozen=True)
class Difference:
    """A method against another one on the same cases.

    Attributes:
        label: of the method.
        mean: of the differences.
        low: 95 % bootstrap interval of the mean, cases drawn again.
        high: its other end.
        p: Wilcoxon's signed-rank test, after Holm's correction for all methods that are compared.
        cases: how many.
    """

    label: str
    mean: float
    low: float
    high: float
    p: float
    cases: int


@dataclass(frozen=True)
class Ranks:
    """Places over the cases.

    Attributes:
        average: mean place of each method, 1 = best.
        critical: Nemenyi's critical difference of mean places at 5 %.
        p: Friedman's test that all methods are alike.
        cases: how many.
    """

    average: Mapping[str, float]
    critical: float
    p: float
    cases: int


def read_suites(folder: Path, *, reading: str = "plain") -> dict[str, list[Entrant]]:
    """Results by suite: of a folder of ``pointillist benchmark``, or of one with the results that it recorded.

    Args:
        folder: that holds them.
        reading: that is wanted; suites without it are left out.

    Raises:
        InputError: if there are none.
        DamagedFileError: if a file is none.
    """
    root = folder / "results" if (folder / "results").is_dir() else folder
    runs: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(root.glob("*/**/*.json")):
        one = read_result(path)
        if reading not in one["readings"]:
            continue
        runs[one["suite"]][one["run"].partition("/")[0]].append(one)
    if not runs:
        raise InputError(
            "this folder holds no results",
            where=folder,
            expected=f"a folder that `pointillist benchmark` wrote, or its --record, with the reading {reading}",
            received="no such results files",
            todo="name another folder, or run a suite first",
        )
    return {suite: [_entrant(label, found) for label, found in groups.items()] for suite, groups in runs.items()}


def differences(entrants: Sequence[Entrant], reference: Entrant, reading: str, column: str) -> list[Difference]:
    """Every other method minus the reference, on the cases that both have.

    Cases count as independent; where a patient has several, intervals are somewhat too narrow.
    """
    base = reference.by_case(reading, column)
    found = []
    for one in entrants:
        values = one.by_case(reading, column)
        common = sorted(base.keys() & values.keys())
        if one.label != reference.label and common:
            found.append(paired_difference(one.label, np.array([values[case] - base[case] for case in common])))
    corrected = holm([one.p for one in found])
    return [Difference(x.label, x.mean, x.low, x.high, p, x.cases) for x, p in zip(found, corrected, strict=True)]


def ranks(entrants: Sequence[Entrant], reading: str, column: str, *, higher_is_better: bool) -> Ranks | None:
    """Mean places over the cases that all methods have; None for fewer than three methods or cases.

    Source: Demšar, JMLR 2006.
    """
    tables = [one.by_case(reading, column) for one in entrants]
    common = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    if len(entrants) < 3 or len(common) < 3:
        return None
    values = np.array([[table[case] for table in tables] for case in common])
    signed = -values if higher_is_better else values
    places: Floats = rankdata(signed, axis=1).mean(0)
    k, n = len(entrants), len(common)
    critical = studentized_range.ppf(1 - LEVEL, k, np.inf) / np.sqrt(2) * np.sqrt(k * (k + 1) / (6 * n))
    p = friedmanchisquare(*signed.T).pvalue
    average = dict(zip((one.label for one in entrants), places.tolist(), strict=True))
    return Ranks(average, float(critical), float(p), n)


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down rule."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    raised = [min(1.0, (len(p) - step) * p[i]) for step, i in enumerate(order)]
    corrected: Floats = np.maximum.accumulate(np.array(raised))
    return [float(value) for _, value in sorted(zip(order, corrected, strict=True))]


def alike(places: Ranks) -> list[tuple[str, str]]:
    """First and last of every largest group of methods whose mean places the critical difference does not part."""
    order = sorted(places.average, key=lambda label: places.average[label])
    rank = [places.average[label] for label in order]
    last = [max(j for j in range(len(order)) if rank[j] - rank[i] <= places.critical) for i in range(len(order))]
    first_of = [i for i in range(len(order)) if last[i] > i and (i == 0 or last[i] > last[i - 1])]
    return [(order[i], order[last[i]]) for i in first_of]


def _entrant(label: str, results: Iterable[dict[str, Any]]) -> Entrant:
    ordered = sorted(results, key=lambda one: (one["fold"] or 0, one["seed"]))
    first = ordered[0]
    settings = (f"{name}={value}" for name, value in first["settings"].items())  # the title of files that have none
    return Entrant(label, first.get("title") or " ".join([first["method"], *settings]), tuple(ordered))


def _value(reading: Mapping[str, Any], cls: str, metric: str, unit: str) -> float | None:
    pooled = ({**line, "unit": "1", "mean": line["value"]} for line in reading.get("pooled", ()))
    lines = [
        line
        for line in (*reading["summary"], *pooled)
        if (line["metric"], line["unit"]) == (metric, unit)
        and (line["class"] == cls or (cls == OVERALL and line["class"] != OBJECTS))
    ]
    value: float | None = lines[-1]["mean"] if lines else None  # the mean over classes comes last
    return value


def paired_difference(label: str, apart: Floats) -> Difference:
    """The mean of paired differences ``(cases,)``, its bootstrap interval, and an uncorrected p."""
    low, high = interval(apart)
    p = wilcoxon(apart).pvalue if np.any(apart) else 1.0
    return Difference(label, float(apart.mean()), low, high, float(p), len(apart))


def interval(values: Floats) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of ``(cases,)``, cases drawn again."""
    draws = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)
