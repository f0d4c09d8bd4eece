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
    runs = {one.title: [out / "runs" / suite / str(result["run"]) for result in one.results] for one in entrants}
    made_here = next((run for those in runs.values() for run in those if (run / "run.json").is_file()), None)
    if made_here is None:
        return []
    dataset = Dataset.open(Path(json.loads((made_here / "run.json").read_bytes())["plan"]["dataset"]))
    picks = {"median": ranked[len(ranked) // 2], "worst": ranked[0]}
    return [
        compare(
            case,
            f"{why} case of {best.title}, Dice {scores[case]:.3f}",
            dataset,
            _predicted(case, {name: [run / "predictions" / reading for run in those] for name, those in runs.items()}),
        )
        for why, case in picks.items()
    ]


def _predicted(case: str, folders: Mapping[str, Sequence[Path]]) -> list[RunResult]:
    """The methods whose prediction of the case is still there, each from the run of the fold that held it out."""
    return [
        RunResult(title, {}, {}, {}, (), predictions=folder)
        for title, those in folders.items()
        if (folder := next((one for one in those if any(one.glob(f"{case}.*"))), None)) is not None
    ]
