"""Partial cross-entropy with the normalised-cut loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pointillist.losses import normalized_cut
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class NormalizedCut(SingleNet):
    """Each class should look like itself and unlike the rest, large classes no more than small ones.

    L = pCE + λ · mean_n Σ_k S_kᵀW(1−S_k) / dᵀS_k, d = W1, with a Gaussian kernel W of distance and intensity; see
    ``pointillist.losses.normalized_cut``. Padding takes no part, nor does a class that holds less than a pixel.

    Cost: that of ``dense_crf``: one forward pass, and the same filter.

    When: as ``dense_crf``, and classes differ much in size: a class counts by the share of its affinity that leads out
    of it. It is the wrong choice where a class looks like the background, for the cheapest cut then swallows it.

    Found: nothing was at hand but the paper's equation; the published bandwidths and weight could not be confirmed. The
    kernel and the start are those of ``dense_crf`` by the same authors, the weight is ours. A vanished class makes the
    quotient one of vanishing numbers, and its gradient draws every image towards holding every class; it is left out.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        sigma_xy: of the distance, in pixels.
        sigma_rgb: of the intensity, which runs from 0 to 1 (published: 15 of 255).
        start: share of the run after which the term counts.
        form: ``exact`` or ``fast``; ``auto`` is exact up to 64² pixels.

    Source: Tang et al., CVPR 2018.
    """

    name = "normalized_cut"
    paper = "Tang et al., CVPR 2018"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.1,
        sigma_xy: Annotated[float, Bounds(1, 10000)] = 100.0,
        sigma_rgb: Annotated[float, Bounds(0.001, 1000)] = 15 / 255,
        start: Annotated[float, Bounds(0, 1)] = 0.5,
        form: Literal["auto", "exact", "fast"] = "auto",
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.start = weight, start
        self.sigma_xy, self.sigma_rgb, self.form = sigma_xy, sigma_rgb, form

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the cut once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            cut = normalized_cut(
                out.logits.float().softmax(1),
                batch.image,
                sigma_xy=self.sigma_xy,
                sigma_rgb=self.sigma_rgb,
                valid=batch.valid,
                form=self.form,
            )
            terms["normalized_cut"] = Term(cut, self.weight)
        return terms
