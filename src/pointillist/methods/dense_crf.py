"""Partial cross-entropy with the dense CRF loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pointillist.losses import dense_crf
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


_LITERAL_UNIT = 2e-8  # of the weight, so that the default 0.1 is the published 2e-9


@register
class DenseCRF(SingleNet):
    """Pixels that look alike should be of one class, over all pairs of an image's pixels (RLoss).

    L = pCE + λ · mean_n (1 − Σ_k S_kᵀWS_k / 1ᵀW1) with a Gaussian kernel W of distance and intensity; see
    ``pointillist.losses.dense_crf``. Padding takes no part.

    Cost: one forward pass. Up to 64² pixels all pairs are visited: time grows with the square of the pixels, and a step
    takes several times that of partial cross-entropy. Above, or with ``form=fast``, a bilateral grid is used, linear in
    pixels: about a tenth of a U-Net's step for one channel; for three, half of one for tissue and up to several for
    images that hold every colour. Memory is that of a few predictions, and of the grid for one image.

    When: regions differ in intensity from their surroundings, and the network has already found them: the term pulls on
    everything of one intensity within 100 pixels. Where one intensity belongs to several classes far apart,
    ``gated_crf``, whose window is small, errs less. Intensities should run from 0 to 1, or ``sigma_rgb`` be set.

    Found: the published weight belongs to the published image size, since raw sums grow with the square of the pixels
    (an image of 128² has 260 times fewer pairs than their 513²); here the energy is a share. The two public versions
    differ: the Caffe one trains with partial cross-entropy first and goes on from there for as long again, at a tenth
    of the rate; the PyTorch one adds the term from the first step. σ_xy is 80 by the script's default, 100 in its call.
    The permutohedral lattice in the public code approximates W up to a scale of its own.

    Args:
        net: the network.
        spec: the task.
        weight: λ; with ``literal`` in units of 2e-8, so that the default means the published 2e-9.
        sigma_xy: of the distance, in pixels.
        sigma_rgb: of the intensity, which runs from 0 to 1 (published: 15 of 255).
        start: share of the run after which the term counts.
        form: ``exact`` or ``fast``; ``auto`` is exact up to 64² pixels.
        literal: the raw energy of the public code, at half the resolution.

    Source: Tang et al., ECCV 2018; meng-tang/rloss ``DenseCRFLoss.py`` for the constants, its Caffe solvers (9,000
    iterations, then 9,000 with the term) for the start.
    """

    name = "dense_crf"
    paper = "Tang et al., ECCV 2018"

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
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.start, self.literal = weight, start, literal
        self.sigma_xy, self.sigma_rgb, self.form = sigma_xy, sigma_rgb, form

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the pairwise term once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            pairwise = dense_crf(
                out.logits.float().softmax(1),
                batch.image,
                sigma_xy=self.sigma_xy,
                sigma_rgb=self.sigma_rgb,
                valid=batch.valid,
                form=self.form,
                literal=self.literal,
            )
            terms["dense_crf"] = Term(pairwise, self.weight * (_LITERAL_UNIT if self.literal else 1))
        return terms
