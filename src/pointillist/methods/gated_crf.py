"""Partial cross-entropy with the gated CRF loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import gated_crf
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class GatedCRF(SingleNet):
    """Pixels that lie near each other and look alike should be of one class.

    L = pCE + λ · (1/N) Σ_p Σ_{q∈W(p)} k(p, q) (1 − ⟨P_p, P_q⟩) with a Gaussian k of distance and intensity; see
    ``pointillist.losses.gated_crf``.

    Cost: one forward pass, and a sweep over 60 shifts of the batch at radius 5: a step takes 1.2 times one of ``pce``.
    Memory is that of a few predictions, whatever the radius.

    When: boundaries follow intensities, and the network knows the classes when the term begins: with one point per
    class it otherwise removes small or thin ones, which have little to set against the energy of their boundary.

    Found: the public code pads colours and coordinates with zeros, so a constant prediction does not score 0; values
    differ, gradients do not. The original works on a quarter of the resolution with a validity mask, WSL4MIS on the
    full one without. Here pixels in margins that a rotation uncovers, which hold no image, neither give nor take. The
    window is one of pixels: at half the side of the published 256² a boundary takes twice the share of the pixels,
    and the term weighs twice as much.

    Args:
        net: the network.
        spec: the task.
        weight: λ.
        radius: of the window, in pixels.
        sigma_xy: of the distance, in pixels.
        sigma_rgb: of the intensity, which runs from 0 to 1.
        start: share of the run after which the term counts. Chosen on ACDC fold 5 (suites ``acdc-start`` and
            ``acdc-points-start``): from points, 0 loses a class; from scribbles 0, 0.15 and 0.3 come to the same.

    Source: Obukhov et al. 2019; WSL4MIS ``train_weakly_supervised_pCE_GatedCRFLoss_2D.py`` for the constants. The
    original starts after 0.5 % of the run, WSL4MIS at once.
    """

    name = "gated_crf"
    paper = "Obukhov et al. 2019"

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 0.1,
        radius: Annotated[int, Bounds(1, 20)] = 5,
        sigma_xy: Annotated[float, Bounds(0.1, 100)] = 6.0,
        sigma_rgb: Annotated[float, Bounds(0.001, 10)] = 0.1,
        start: Annotated[float, Bounds(0, 1)] = 0.3,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.start = weight, start
        self.radius, self.sigma_xy, self.sigma_rgb = radius, sigma_xy, sigma_rgb

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the pairwise term once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            pairwise = gated_crf(
                out.logits.float().softmax(1),
                batch.image,
                radius=self.radius,
                sigma_xy=self.sigma_xy,
                sigma_rgb=self.sigma_rgb,
                source=batch.valid,
                destination=batch.valid,
            )
            terms["gated_crf"] = Term(pairwise, self.weight)
        return terms
