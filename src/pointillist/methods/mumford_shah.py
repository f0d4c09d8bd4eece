"""Partial cross-entropy with the Mumford–Shah loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pointillist.losses import mumford_shah
from pointillist.methods._base import SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import world
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class MumfordShah(SingleNet):
    """Classes should be of nearly constant intensity and have short boundaries.

    L = pCE + λ_ms · (Σ_{n,k,p} P_p^k ‖I_p − c_k^n‖² + μ Σ_{n,k,p} |Δ_x P^k| + |Δ_y P^k|) with the mean colour c_k^n of
    class k in image n; see ``pointillist.losses.mumford_shah``.

    The sums are raw, over all pixels of the batch and of all processes, so λ_ms is tied to B·H·W. At 12 images of
    256², 1e-6 is 0.79 times the mean over pixels; at 12 of 128² the first sum has a quarter of the pixels and half the
    boundary, so the same constant is 0.20 times the mean, and 4e-6 would be the published one. The default is the
    source's constant and is not rescaled.

    With μ inside the bracket, other published forms are settings: Kim & Ye λ_ms = 10, μ = 0.001; PSCV's boundary term,
    of weight 1e-5 beside a first term of weight λ, λ_ms = λ, μ = 1e-5 / λ, and λ_ms = λ / (B·K) where its sums are
    read as means over images and classes; PyMIC λ_ms = 0.1 / (B·K·H·W), μ = 1.

    Cost: one forward pass; three maps of the size of the prediction. A step takes about as long as one of ``pce``.

    When: for structures whose intensity is even and unlike their surroundings', in images of one modality with little
    shading. Not where classes differ by texture or place alone. Every class of the task takes part in every image, so
    an absent class can be drawn to a part of another one.

    Found: WSL4MIS hands image and prediction to its level-set term in exchanged order, in every public copy. What it
    adds is Σ I (P^k − m_k)², which asks for a constant prediction where the image is bright, so its published figures
    are not those of a Mumford–Shah loss; ``literal`` repeats that. Its centroids divide by sums that may be 0. PSCV
    averages or sums without saying which.

    Args:
        net: the network.
        spec: the task.
        lambda_ms: λ_ms, of the whole, for sums over the batch.
        mu: μ, of the boundaries inside.
        literal: exchange image and prediction in the first sum, and count padding too.
        start: share of the run after which the term counts.

    Source: Kim & Ye, IEEE TIP 2019; WSL4MIS ``train_weakly_supervised_pCE_MumfordShah_Loss_2D.py`` for the constants.
    """

    name = "mumford_shah"
    paper = "Kim & Ye, IEEE TIP 2019"
    weigh_sums = ("lambda_ms",)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        lambda_ms: Annotated[float, Bounds(0, 100)] = 1e-6,
        mu: Annotated[float, Bounds(0, 1e6)] = 1.0,
        literal: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.lambda_ms, self.mu, self.literal, self.start = lambda_ms, mu, literal, start

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the functional once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            mask = None if self.literal else batch.valid
            p = out.logits.float().softmax(1)
            total = mumford_shah(p, batch.image, mu=self.mu, mask=mask, literal=self.literal)
            # gradients are averaged over processes, and this is a sum over the images of all of them
            terms["mumford_shah"] = Term(world() * total, self.lambda_ms)
        return terms
