"""Partial cross-entropy: the lower bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.nets.network import NetOut
from pointillist.runtime.clock import Clock

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class PartialCE(SingleNet):
    """Cross-entropy on marked pixels alone.

    L = −(1/|Ω_L|) Σ_{p∈Ω_L} log P_p^{Y_p}, |Ω_L| counted over the batch. What every weakly supervised method has to
    beat.

    Cost: one forward pass; every other method's cost is given as a multiple of a step of this one.

    When: as the yardstick. With a point per class and image it is already strong; with scribbles, which lie in the
    middle of the organs, it predicts organs far away from them too, since no mark says that there is nothing.

    Found: public codes call four different means by this name: over the labelled pixels of the batch (this one, as in
    WSL4MIS), over all pixels (CycleMix, about a hundredth of it on scribbles), a sum (PSCV), per image and then over
    images. Weights of other terms and learning rates do not carry over from one to the other.

    Source: WSL4MIS ``train_weakly_supervised_pCE_2D.py``; Tang et al., CVPR 2018.
    """

    name = "pce"
    paper = "Tang et al., CVPR 2018"

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:  # noqa: ARG002 - has no schedule
        """The one term."""
        return {"pce": Term(marked_ce(out.logits, batch.label))}
