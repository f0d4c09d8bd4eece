"""Pictures of held-out cases as every method of a suite sees them, chosen by rule."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pointillist.benchmark.comparison import OVERALL, Entrant
from pointillist.data.dataset import Dataset
from pointillist.report.run_page import ComparedCase, RunResult, compare

_BOUND = "full"


def panels(out: Path, suite: str, entrants: Sequence[Entrant], reading: str) -> list[ComparedCase]:
    """The median and the worst case of the upper bound by Dice, or of the best method where there is no bound.

    Args:
        out: a folder of ``pointillist benchmark``; one without the runs has no pictures.
        suite: name.
        entrants: its methods.
        reading: whose predictions are shown.
    """
    best = max(entrants, key=lambda one: (one.method == _BOUND, one.mean(reading, OVERALL, "dsc", "1") or 0))
    scores = best.by_case(reading, "dsc")
    ranked = sorted(scores, key=lambda case: (scores[case], case))
    run = _folder(out, suite, best) / "run.json"
    if not run.is_file():
        return []
    dataset = Dataset.open(Path(json.loads(run.read_bytes())["plan"]["dataset"]))
    picks = {"median": ranked[len(ranked) // 2], "worst": ranked[0]}
    return [
        compare(
            case,
            f"{why} case of {best.title}, Dice {scores[case]:.3f}",
            dataset,
            _predicted(case, {one.title: _folder(out, suite, one) / "predictions" / reading for one in entrants}),
        )
        for why, case in picks.items()
    ]


def _predicted(case: str, folders: Mapping[str, Path]) -> list[RunResult]:
    """The methods whose prediction of the case is still there."""
    return [
        RunResult(title, {}, {}, {}, (), predictions=folder)
        for title, folder in folders.items()
        if any(folder.glob(f"{case}.*"))
    ]


def _folder(out: Path, suite: str, one: Entrant) -> Path:
    return out / "runs" / suite / str(one.results[0]["run"])
