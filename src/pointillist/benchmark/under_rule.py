"""The runs of a benchmark as a public code would score them: its rules of evaluation, and its choice of weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pointillist.benchmark.comparison import Entrant
from pointillist.benchmark.selection import best_on_test
from pointillist.evaluate.classes import find_classes
from pointillist.evaluate.folders import pair_files
from pointillist.evaluate.published import OURS, PublishedRule, published_rule
from pointillist.evaluate.rules import UnderRule, under_rules

_OURS, _THEIRS = "ours", "theirs"


@dataclass(frozen=True)
class MethodUnderRule:
    """A method's mean over its runs whose predictions are still there.

    Attributes:
        title: of the method.
        runs: how many of them.
        dsc: by our rule on the last weights, and by the code's on those that it would test.
        hd95: likewise.
        unit: of the two distances.
        decided: pairs of case and class that the code's rule decides since a mask is empty, and all of them.
        weights: that were scored by the code's rule.
    """

    title: str
    runs: int
    dsc: tuple[float | None, float | None]
    hd95: tuple[float | None, float | None]
    unit: tuple[str, str]
    decided: tuple[int, int]
    weights: str


def methods_under_rule(
    out: Path, suite: str, entrants: Sequence[Entrant], code: str, say: Callable[[str], None] = lambda _: None
) -> list[MethodUnderRule]:
    """Score the plain predictions of every run under a code's rule.

    A code that tests the weights with the best Dice on the test cases gets them where the run kept some
    (``keep:`` in the suite); elsewhere it gets the last ones, and the result says so. The border is cut from the
    labels on the images' own grid.

    Args:
        out: a folder of ``pointillist benchmark``; runs without predictions are left out.
        suite: name.
        entrants: its methods.
        code: name of the rule.
        say: told of each method.

    Raises:
        InputError: if no rule has the name.
        PointillistError: if predictions or references cannot be read.
    """
    rule, found = published_rule(code), []
    for one in entrants:
        runs = [
            _scored(run, result, rule)
            for result in one.results
            if ((run := out / "runs" / suite / str(result["run"])) / "predictions" / "plain").is_dir()
        ]
        if runs:
            found.append(_mean(one.title, runs))
            say(described(found[-1], code))
    return found


def described(one: MethodUnderRule, code: str) -> str:
    """A line for the terminal: ``pce: DSC 0.362 → 0.362, HD95 162.0 mm → 162.0 mm as pclmix (last weights)``."""
    dsc = " → ".join("–" if value is None else f"{value:.3f}" for value in one.dsc)
    hd95 = " → ".join("–" if x is None else f"{x:.1f} {unit}" for x, unit in zip(one.hd95, one.unit, strict=True))
    return f"{one.title}: DSC {dsc}, HD95 {hd95} as {code} ({one.weights} weights)"


def _scored(run: Path, result: Mapping[str, Any], rule: PublishedRule) -> tuple[UnderRule, UnderRule, str]:
    """By our rule, by the code's, and which weights the latter was given."""
    dataset = Path(json.loads((run / "run.json").read_bytes())["plan"]["dataset"])
    predictions = run / "predictions"
    last, step = predictions / "plain", best_on_test(result) if rule.weights == "best on test" else None
    best = last if step is None else predictions / f"step_{step:08d}"
    if not best.is_dir() or best == last:
        both = _under(last, dataset, {_OURS: OURS, _THEIRS: rule})
        return both[_OURS], both[_THEIRS], "last"
    return _under(last, dataset, {_OURS: OURS})[_OURS], _under(best, dataset, {_THEIRS: rule})[_THEIRS], "best on test"


def _under(predictions: Path, dataset: Path, rules: Mapping[str, PublishedRule]) -> dict[str, UnderRule]:
    classes = find_classes([dataset])
    assert classes is not None, dataset  # noqa: S101 - a run's dataset has a description
    return under_rules(pair_files(predictions, dataset).pairs, classes, rules)


def _mean(title: str, runs: Sequence[tuple[UnderRule, UnderRule, str]]) -> MethodUnderRule:
    ours, theirs = [run[0] for run in runs], [run[1] for run in runs]
    return MethodUnderRule(
        title,
        len(runs),
        (_over([x.dsc for x in ours]), _over([x.dsc for x in theirs])),
        (_over([x.hd95 for x in ours]), _over([x.hd95 for x in theirs])),
        (ours[0].unit, theirs[0].unit),
        (sum(x.empty for x in theirs), sum(x.pairs for x in theirs)),
        " and ".join(dict.fromkeys(run[2] for run in runs)),
    )


def _over(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
