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

    Source: WSL4MIS ``train_weakly_supervised_pCE_2D.py``; Tang et al., CVPR 2018.
    """

    name = "pce"
    paper = "Tang et al., CVPR 2018"

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:  # noqa: ARG002 - has no schedule
        """The one term."""
        return {"pce": Term(marked_ce(out.logits, batch.label))}
