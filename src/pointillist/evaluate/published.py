"""How public codes score, by the code's name: empty masks, form and unit of HD95, border, and which weights.

These rules are repeated only to be compared with: several give a missed organ the best distance there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from pointillist.errors import named
from pointillist.evaluate.overlap import Confusion, dsc
from pointillist.evaluate.surface import hd95_max, hd95_pooled
from pointillist.geometry.distance import SurfaceDistances


class Scores(NamedTuple):
    """Dice and HD95 (in the unit of the evaluation) that a code gives a pair."""

    dsc: float
    hd95: float


class PublishedRule(NamedTuple):
    """How one code scores; an answer to empty masks is None where the code stops with an error.

    Attributes:
        both_empty: neither mask has a voxel of the class.
        prediction_empty: only the reference has.
        reference_empty: only the prediction has.
        hd95: the form that the code uses where both masks hold voxels.
        source: where the rule was read.
        unit: of its distances.
        border: share of the columns at either end of a prediction that it makes background.
        weights: that it tests: the last iterate, or those with the best Dice on the test cases themselves.
    """

    both_empty: Scores | None
    prediction_empty: Scores | None
    reference_empty: Scores | None
    hd95: Callable[[SurfaceDistances], float]
    source: str
    unit: Literal["mm", "voxel"] = "mm"
    border: float = 0.0
    weights: Literal["last", "best on test"] = "last"

    def scores(self, counts: Confusion, distances: SurfaceDistances) -> Scores:
        """What the code gives a pair; NaN where it stops with an error."""
        if counts.n_pred and counts.n_ref:
            return Scores(dsc(counts), self.hd95(distances))
        if counts.n_pred == counts.n_ref == 0:
            return self.both_empty or _STOPS
        return (self.prediction_empty if counts.n_pred == 0 else self.reference_empty) or _STOPS


_STOPS = Scores(float("nan"), float("nan"))
_UNDEFINED = Scores(0.0, float("nan"))
_ZERO = Scores(0.0, 0.0)
_FAR = Scores(0.0, 50.0)
_PYMIC = Scores(0.0, 100.0)
_FOUND = Scores(1.0, 0.0)
_TRANSUNET = (_ZERO, _ZERO, _FOUND, hd95_pooled)

OURS = PublishedRule(_FOUND, _UNDEFINED, _UNDEFINED, hd95_pooled, "Pointillist")
"""This package's own rule in the same form: a distance is undefined, and counted, where one mask is empty."""

PUBLISHED_RULES: dict[str, PublishedRule] = {
    "wsl4mis-test": PublishedRule(None, None, None, hd95_pooled, "HiLab-git/WSL4MIS code/test_2D_fully.py"),
    "wsl4mis-val": PublishedRule(_ZERO, _ZERO, None, hd95_pooled, "HiLab-git/WSL4MIS code/val_2D.py", unit="voxel"),
    "trimix": PublishedRule(_ZERO, _ZERO, None, hd95_pooled, "MoriLabNU/TriMix scribble_supervised/ACDC"),
    "pclmix": PublishedRule(
        _FAR, _FAR, None, hd95_pooled, "Torpedo2648/PCLMix code/test_cnn.py", weights="best on test"
    ),
    "attenscribble": PublishedRule(
        _ZERO, _ZERO, _ZERO, hd95_pooled, "YangQinzhu/AttenScribble code/utils/metrics.py", weights="best on test"
    ),
    "transunet": PublishedRule(*_TRANSUNET, "Beckschen/TransUNet utils.py", unit="voxel"),
    "pscv": PublishedRule(
        *_TRANSUNET, "PSCV on Synapse: no public code; TransUNet's rules, and the paper's border",
        unit="voxel", border=50 / 256,
    ),
    "pymic": PublishedRule(
        _FOUND, _PYMIC, _PYMIC, hd95_max, "HiLab-git/PyMIC pymic/util/evaluation_seg.py"
    ),
}  # fmt: skip
"""By name. PyMIC takes the percentiles without interpolation, so its distances differ by up to one voxel."""


def published_rule(code: str) -> PublishedRule:
    """A rule by its code's name.

    Raises:
        InputError: if no rule has the name.
    """
    return named(PUBLISHED_RULES, code, what="no published rule has this name", where="--published-rules")
