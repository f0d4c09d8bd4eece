"""Full supervision: the upper bound, and the only method that may see dense truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pointillist.losses import partial_dice
from pointillist.methods._base import Needs, SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class Full(SingleNet):
    """½ (cross-entropy + Dice) on dense labels, or cross-entropy alone.

    Cost: one forward pass, as ``pce``.

    When: to know what the marks leave on the table. It needs the dense truth of every training case.

    Found: its Dice sums over the whole batch with squared denominators and averages over all classes, the background
    too, as in WSL4MIS; other codes' Dice is another number. PSCV's table quotes this bound from another paper rather
    than rerunning it with its own protocol.

    Args:
        net: the network.
        spec: the task.
        loss: ``ce_dice`` as in the scribble literature, ``ce`` as in PSCV.

    Source: WSL4MIS ``train_fully_supervised_2D.py``; En & Guo (PSCV) for cross-entropy alone.
    """

    name = "full"
    paper = "Luo et al., MICCAI 2022; En & Guo, AAAI 2023"
    needs = Needs(dense_truth=True)

    def __init__(self, net: SegmentationNet, spec: TaskSpec, *, loss: Literal["ce_dice", "ce"] = "ce_dice") -> None:
        super().__init__(net, spec)
        self.dice_weight = 0.5 if loss == "ce_dice" else 0.0

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:  # noqa: ARG002 - has no schedule
        """Both terms; the labels of the batch are dense."""
        dice = partial_dice(out.logits.float().softmax(1), batch.label)
        return {
            "ce": Term(marked_ce(out.logits, batch.label), 1.0 - self.dice_weight),
            "dice": Term(dice, self.dice_weight),
        }
