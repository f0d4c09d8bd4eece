"""Partial cross-entropy with the soft contour length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import contour
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class Contour(SingleNet):
    """Contours should be short: the form that WSL4MIS calls total variation.

    L = pCE + λ · mean_{n,k≥1,p} relu(δ₃(ε₃(P^k)) − ε₃(P^k)) with erosion ε₃ and dilation δ₃ over 3 × 3 pixels; see
    ``pointillist.losses.contour``.

    Cost: one forward pass; some ten maps of the size of the foreground prediction, none of them kept for the backward
    pass but one.

    When: to compare with published "TV" figures. Whatever is at most 2 pixels wide costs nothing, so neither specks
    nor hairlines are removed, unlike with ``total_variation``; parts of an object on the image's border are free too.

    Found: the public code means to leave out the background and leaves out the first image of every batch
    (``softmax[1:]``); with one image a batch it gives NaN. ``literal`` repeats that, with 0 for a lone image. PyMIC's
    version of the loss compares a list with 2, so that its pooling of 2-D images runs across classes. The perimeter
    loss (El Jurdi et al.) compares contour lengths with those of the ground truth, which marks do not have, so it is no
    method here. AttenScribble's baseline "Contour" does not say where its lengths come from; the plain sum of the
    contours, as here, is the reading that needs nothing but the prediction.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        literal: leave out the first image of the batch instead of the background.
        start: share of the run after which the term counts.

    Source: WSL4MIS ``train_weakly_supervised_pCE_TV_2D.py``.
    """

    name = "contour"
    paper = "WSL4MIS (Luo et al. 2022), there called TV"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.01,
        literal: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.literal, self.start = weight, literal, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the contours once they have started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            terms["contour"] = Term(contour(out.logits.float().softmax(1), literal=self.literal), self.weight)
        return terms
