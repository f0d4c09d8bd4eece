"""Partial cross-entropy with total variation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import total_variation
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class TotalVariation(SingleNet):
    """Boundaries should be short.

    L = pCE + λ · mean_{n,k≥1,p} |Δ_x P^k| + |Δ_y P^k| over all pixels and foreground classes; see
    ``pointillist.losses.total_variation``.

    Cost: one forward pass; two maps of the size of the prediction. A step takes about as long as one of ``pce``.

    When: for smooth outlines of compact structures, as a baseline for whatever smooths. It does not look at the image:
    it removes specks and rounds corners, and erases a structure before it lengthens its boundary. Not for thin or
    branching ones.

    Found: what WSL4MIS trains as "TV" is the soft contour of an opening (method ``contour``), so its published figures
    are not those of a total variation; λ = 0.01 is taken over from there, and this form has no constant of its own.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        isotropic: lengths of the gradient √(Δ_x² + Δ_y²) instead of sums of its components.
        start: share of the run after which the term counts.

    Source: Rudin, Osher & Fatemi 1992 for the variation; WSL4MIS ``train_weakly_supervised_pCE_TV_2D.py`` for λ.
    """

    name = "total_variation"
    paper = "Rudin, Osher & Fatemi 1992"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.01,
        isotropic: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.isotropic, self.start = weight, isotropic, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the variation once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            p = out.logits.float().softmax(1)
            terms["total_variation"] = Term(total_variation(p, isotropic=self.isotropic), self.weight)
        return terms
