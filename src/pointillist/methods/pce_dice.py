"""Partial cross-entropy and partial Dice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import partial_dice
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class PartialCEDice(SingleNet):
    """½ (partial cross-entropy + partial Dice), both on marked pixels alone.

    Cost: one forward pass, as ``pce``.

    When: as a second yardstick, where classes are marked with very unlike numbers of pixels: Dice counts classes alike.

    Found: where pixels are ignored, WSL4MIS's Dice broadcasts the mask of every image of the batch over all others;
    here each image has its own.

    Args:
        net: the network.
        spec: the task.
        weight: of the Dice term, whose sums run over the marked pixels of the batch.

    Source: the scribble literature's plain supervised term; Luo et al., MICCAI 2022.
    """

    name = "pce_dice"
    paper = "Luo et al., MICCAI 2022"

    def __init__(self, net: SegmentationNet, spec: TaskSpec, *, weight: Annotated[float, Bounds(0, 10)] = 0.5) -> None:
        super().__init__(net, spec)
        self.weight = weight

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:  # noqa: ARG002 - has no schedule
        """Both terms."""
        return {
            "pce": Term(marked_ce(out.logits, batch.label), 0.5),
            "dice": Term(partial_dice(out.logits.float().softmax(1), batch.label), self.weight),
        }
