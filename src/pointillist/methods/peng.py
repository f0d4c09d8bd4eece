"""Pseudo labels from the cosine similarity to the marked pixels' features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import prototype_label
from pointillist.methods._base import Recipe, SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._tap import on_grid_of
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class Peng(SingleNet):
    """A pixel whose features resemble those at one class's marks, and no other's, is of that class.

    L = pCE + λ · CE on the pseudo labels ŷ_p = argmax_k s_k(p) of unmarked pixels with s_(1) > s_min and s_(1) − s_(2)
    > m, where s_k(p) = cos(v_k, f_p), f the decoder's finest features and v_k the mean of the normalised features at
    the pixels marked k in the same image. No gradient passes through ŷ. This is in the spirit of Peng et al., not their
    method: see below.

    Cost: one pass, and one product of K×C with C×HW numbers an image.

    When: every class is marked in most images. A class without marks in an image has similarity −1 there, so in an
    image with marks of a single class the margin holds everywhere, and all pixels near that class's features are given
    to it, those of unmarked classes among them.

    Found: of the source only the abstract was at hand; it speaks of annotated and unannotated areas and of a Fisher
    loss. The paper of CVM, which compares with it, says that it "utilises cosine similarity maps", and nothing of
    constants. Similarity, margin and start are our reading; the Fisher loss is left out.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        similarity: s_min, the least cosine.
        margin: m, by which the nearest class must be nearer than the next.
        start: share of the run after which pseudo labels count; 5 of 30 epochs.

    Source: Peng et al. (emphysema, partial annotations), as a comparator of CVM (Zhang et al.).
    """

    name = "peng"
    paper = "in the spirit of Peng et al."
    recipe = Recipe(optimizer="adam", lr=1e-4, schedule="constant", batch=4)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 1.0,
        similarity: Annotated[float, Bounds(-1, 1)] = 0.8,
        margin: Annotated[float, Bounds(0, 2)] = 0.2,
        start: Annotated[float, Bounds(0, 1)] = 1 / 6,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.similarity, self.margin, self.start = weight, similarity, margin, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and cross-entropy on pseudo labels once they have started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            features = on_grid_of(out.logits, out.levels[0].detach())
            pseudo = prototype_label(
                features, batch.label, out.logits.shape[1], similarity=self.similarity, margin=self.margin
            )
            inside = pseudo.masked_fill(~batch.valid, IGNORE)
            terms["pseudo"] = Term(marked_ce(out.logits, inside), self.weight)
        return terms
