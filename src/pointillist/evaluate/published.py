"""What public codes write where a mask is empty, by the code's name.

These rules are repeated only to be compared with: several give a missed organ the best distance there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pointillist.errors import named
from pointillist.evaluate.overlap import Confusion
from pointillist.evaluate.surface import hd95_max, hd95_pooled
from pointillist.geometry.distance import SurfaceDistances


class Scores(NamedTuple):
    """Dice and HD95 (in the unit of the evaluation) that a code gives a pair."""

    dsc: float
    hd95: float


class PublishedRule(NamedTuple):
    """One code's answers to empty masks; None where the code stops with an error.

    Attributes:
        both_empty: neither mask has a voxel of the class.
        prediction_empty: only the reference has.
        reference_empty: only the prediction has.
        hd95: the form that the code uses where both masks hold voxels.
        source: where the rule was read.
    """

    both_empty: Scores | None
    prediction_empty: Scores | None
    reference_empty: Scores | None
    hd95: Callable[[SurfaceDistances], float]
    source: str

    def degenerate(self, counts: Confusion) -> Scores | None:
        """The code's answer to a pair in which at least one mask is empty."""
        if counts.n_pred == counts.n_ref == 0:
            return self.both_empty
        return self.prediction_empty if counts.n_pred == 0 else self.reference_empty


_ZERO = Scores(0.0, 0.0)
_FAR = Scores(0.0, 50.0)
_PYMIC = Scores(0.0, 100.0)

PUBLISHED_RULES: dict[str, PublishedRule] = {
    "wsl4mis-test": PublishedRule(None, None, None, hd95_pooled, "HiLab-git/WSL4MIS code/test_2D_fully.py"),
    "wsl4mis-val": PublishedRule(_ZERO, _ZERO, None, hd95_pooled, "HiLab-git/WSL4MIS code/val_2D.py"),
    "trimix": PublishedRule(_ZERO, _ZERO, None, hd95_pooled, "MoriLabNU/TriMix scribble_supervised/ACDC"),
    "pclmix": PublishedRule(_FAR, _FAR, None, hd95_pooled, "Torpedo2648/PCLMix code/test_cnn.py"),
    "attenscribble": PublishedRule(
        _ZERO, _ZERO, _ZERO, hd95_pooled, "YangQinzhu/AttenScribble code/utils/metrics.py"
    ),
    "transunet": PublishedRule(
        _ZERO, _ZERO, Scores(1.0, 0.0), hd95_pooled, "Beckschen/TransUNet utils.py"
    ),
    "pymic": PublishedRule(
        Scores(1.0, 0.0), _PYMIC, _PYMIC, hd95_max, "HiLab-git/PyMIC pymic/util/evaluation_seg.py"
    ),
}  # fmt: skip
"""By name. PyMIC takes the percentiles without interpolation, so its distances differ by up to one voxel."""


def published_rule(code: str) -> PublishedRule:
    """A rule by its code's name.

    Raises:
        InputError: if no rule has the name.
    """
    return named(PUBLISHED_RULES, code, what="no published rule has this name", where="--published-rules")
