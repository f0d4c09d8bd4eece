"""What a rule of selection is worth: which of a run's kept models it takes, and how far that one is from the best."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MARGIN = 0.01
LAST, MARKS, TEST = "last iterate", "best on held-out marks", "best on the test cases"


def by_rule(result: Mapping[str, Any]) -> dict[str, float]:
    """Mean Dice of the model that each rule takes; empty for a run that kept none.

    ``best on the test cases`` is what two of the papers' codes report. It looks at what it is judged by, so it is an
    upper bound and no rule to use. ``best on held-out marks`` is there where marks were held out.

    Args:
        result: a results file.
    """
    kept = [(one, _dice(one)) for one in result.get("kept", ())]
    if not kept:
        return {}
    found = {LAST: max(kept, key=lambda pair: pair[0]["step"])[1], TEST: max(dice for _, dice in kept)}
    judged = [pair for pair in kept if pair[0]["partial_ce"] is not None]
    if judged:
        found[MARKS] = min(judged, key=lambda pair: pair[0]["partial_ce"])[1]
    return found


def best_on_test(result: Mapping[str, Any]) -> int | None:
    """Step of the kept model with the highest mean Dice on the test cases; None for a run that kept none."""
    kept = result.get("kept", ())
    return max(kept, key=_dice)["step"] if kept else None


def share_within(runs: Iterable[Mapping[str, float]], rule: str) -> float | None:
    """Share of the runs in which a rule comes within ``MARGIN`` of the best kept model."""
    apart = [scores[TEST] - scores[rule] for scores in runs if rule in scores]
    return sum(gap <= MARGIN for gap in apart) / len(apart) if apart else None


def _dice(kept: Mapping[str, Any]) -> float:
    lines = [line for line in kept["summary"] if line["metric"] == "dsc"]
    value: float = lines[-1]["mean"]  # over the classes where there are several
    return value
