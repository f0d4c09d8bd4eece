"""Partial cross-entropy with entropy minimisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import entropy
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class EntropyMin(SingleNet):
    """A prediction should be sure of itself everywhere.

    L = pCE + λ · mean_p H(P_p) / ln K over all pixels.

    Cost: one forward pass, and one more map of the size of the prediction.

    When: a cheap first thing to try on scribbles. It makes the prediction surer of what it is, right or wrong, and
    knows nothing of the image.

    Found: it counts on all pixels, marked ones included. The public code adds 1e-6 inside the logarithm, which moves
    the value by less than K · 1e-6; here it is exact. PyMIC ramps the same weight up between iterations 2,000 and
    15,000.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        start: share of the run after which the term counts.

    Source: Grandvalet & Bengio 2004; WSL4MIS ``train_weakly_supervised_pCE_Entropy_Mini_2D.py`` for the constants.
    """

    name = "entropy_min"
    paper = "Grandvalet & Bengio, NeurIPS 2004"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.1,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.start = weight, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the entropy once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            terms["entropy"] = Term(entropy(out.logits), self.weight)
        return terms
