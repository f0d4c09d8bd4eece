"""Partial cross-entropy with the contrastive variance loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pointillist.losses import contrastive_variance, partial_ce
from pointillist.methods._base import Needs, Recipe, SingleNet, Term, marked_ce
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class PSCV(SingleNet):
    """A class should vary around its mean intensity at the same places in all images, other classes elsewhere.

    L = pCE + λ_cv · mean_{n,k} −log(pos / (pos + neg)) + μ · mean_{n,k} Σ_p |∇P_k|. A map z_k^n = (I − c_k^n)² P_k^n
    shows where class k of image n strays from its mean c_k^n; pos = exp(cos(z_k^n, z_k^m) / τ) with the same class of a
    random other image m, neg the sum of such terms with all other classes of all other images. Only classes that are
    marked in an image take part. See ``pointillist.losses.contrastive_variance``.

    Cost: one forward pass, and one matrix product of the b·k maps with themselves; memory is that of a few
    predictions. Batches need two images or more.

    When: a point or more for every class in every image, the background included, and organs that lie at about the
    same place in all images. Maps are compared pixel by pixel, so images that are turned and flipped each on their own
    weaken the contrast, and ``shared_geometry`` turns and flips a batch as one. λ_cv must be chosen anew for each
    dataset. At predictions from points on hearts the contrast costs less than at the truth, and objects a pixel larger
    than the truth cost less than the truth (``benchmarks/losses_at_truth.py``). Where one image shows one class the
    contrast says nothing, and only the length of boundaries is left.

    Found: no code of the authors is public. The two published λ_cv differ by a factor of 300 (1e-3 on ACDC, 0.3 on
    Synapse, where the learning rate is 0.001 for 100,000 iterations). The paper sums all three terms; divided by their
    counts they keep their ratio, and the learning rate its usual meaning. It calls classes organs, but predictions sum
    to 1 over them and points are drawn for them alone: without a point of background nothing says what background is.
    It does not say what a class that is absent from an image contributes; its map is noise. The claim that variation
    between devices drops out holds for stretched and shifted intensities, for which it holds exactly. On Synapse all
    its predictions have 50 of 256 columns at the left and the right made background (``--border 0.195``): of eight BTCV
    volumes that takes 46 % of the spleen at the body's sides, and 2 % at its front and back, so the latter are meant.

    Args:
        net: the network.
        spec: the task.
        lambda_cv: λ_cv, weight of the contrast.
        mu: μ, weight of the length of boundaries, in pixels.
        tau: temperature τ.
        include_background: whether the background takes part in contrast and boundaries as the other classes do.
        shared_geometry: whether one flip and rotation serves a whole batch.
        reduction: ``mean`` over marked pixels, anchors, and images and classes; ``sum`` of all three terms over a
            process's images, as the paper writes them.
        start: share of the run after which contrast and boundaries count.
        literal: let every class of every image take part, marked or not, and sum, whatever the reduction.

    Source: En & Guo, AAAI 2023. There the weight decay is 1e-5, and nothing is said of a warm-up.
    """

    name = "pscv"
    paper = "En & Guo, AAAI 2023"
    recipe = Recipe(weight_decay=1e-5)
    needs = Needs(min_batch=2)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        lambda_cv: Annotated[float, Bounds(0, 100)] = 1e-3,
        mu: Annotated[float, Bounds(0, 100)] = 1e-5,
        tau: Annotated[float, Bounds(0.001, 100)] = 0.07,
        include_background: bool = True,
        shared_geometry: bool = False,
        reduction: Literal["mean", "sum"] = "mean",
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.needs = self.needs._replace(shared_geometry=shared_geometry)
        self.lambda_cv, self.mu, self.tau = lambda_cv, mu, tau
        self.include_background, self.start, self.literal = include_background, start, literal
        self.reduction: Literal["mean", "sum"] = "sum" if literal else reduction

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and contrast and boundaries once they have started."""
        sums = self.reduction == "sum"
        pce = partial_ce(out.logits, batch.label, reduction="sum") if sums else marked_ce(out.logits, batch.label)
        terms = {"pce": Term(pce)}
        if clock.started(self.start):
            contrast = contrastive_variance(
                out.logits.float().softmax(1),
                batch.image,
                batch.label,
                lambda_cv=self.lambda_cv,
                mu=self.mu,
                tau=self.tau,
                include_background=self.include_background,
                reduction=self.reduction,
                mask=batch.valid,
                literal=self.literal,
            )
            terms["contrastive_variance"] = Term(contrast)
        return terms
