"""CVM: regions of contrast maps, found by a variational model, are soft labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from torch import Tensor

from pointillist.methods._base import Needs, Recipe
from pointillist.methods._contrast_map import contrast_maps
from pointillist.methods._region_targets import RegionTargets, mapped_classes, mean_by_class, over_classes
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.methods._tap import TapName, check_tap, tapped
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.solvers.variational import SolverName, two_regions
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class CVM(RegionTargets):
    """Regions that resemble the points of one class and not those of the others are that class's soft labels.

    L = pCE + w · wKL(u, P). For each marked point p of a class and each point q of the others, C_pq = N(ReLU(S_p −
    η S_q)²) with S_p(x) = cos(f_p, a_x), f the network's features, N the stretching to [0, 1], and z_p the mean over q.
    Each z_p is parted into two regions by min over u_p ∈ [0, 1] of Σ g|∇u_p| + λ Σ r u_p, with g = 1/(1 + β|∇z_σ|²),
    r ∝ (z − c₁)² − (z − c₂)², c₁ and c₂ the means of z inside and outside; u = N(mean_p u_p). wKL weighs pixels by
    exp(−2h), h the entropy of u. The targets of all training images are made anew, unaugmented and in eval mode,
    whenever partial cross-entropy on held-out marks reaches a new minimum; before the first time there are none.

    Connected marks of one class are one point: a pixel, a block of 3×3, or a scribble, whose feature is the mean
    direction. With two classes u is the foreground's; with more, each class is told from the rest and divided by the
    sum. See ``pointillist.solvers.variational`` and ``pointillist.losses.weighted_kl``.

    Cost: one forward pass and the divergence, 1.03 times a step of ``pce``. A refresh is a forward pass over all
    training images and the solver: a seventh of a second an image on one core, be it 256² with three pairs of points or
    128² with four classes of four points. The solver works on the grid of the features: with ``two_component`` a crop
    of 4096² has one of 256², with a plain U-Net one of its own size. K + 1 maps of float16 an image on disk for each of
    up to three generations.

    When: textures that fill regions, such as tissue, and points of the target and of what surrounds it in most
    images. A target without contrast in feature space, or thinner than the regions that the variation allows, is
    lost. A class that is not marked in an image is given to others there. Part of the training groups is held out to
    say when to refresh; of few images a tenth is one, whose handful of points says it badly.

    Found: the only public code is a solver that was deleted. It uses c₁ and c₂ of the points, once; its step, λ and
    iterations were never published, so λ = 5 and 300 iterations are our reading. It edge-weights by 1/(1 + 10|∇z_σ|²),
    the default here, where the paper has 1/(1 + |∇z|²): ``beta=1 sigma=0``. Its matrix pairs rows with columns in the
    wrong order, and multiplies S_q by η anew for each p; neither is done here. The model is convex in u, so it is
    solved to a certified gap instead of by ``aos``. The paper's weighted divergence has a sign too many.

    Args:
        net: the network.
        spec: the task.
        weight: w.
        eta: η, how much of the others' similarity is taken off; 0.6 is best in the paper, 0 uses no other points.
        lam: λ.
        beta: β.
        sigma: σ, in pixels of the feature map.
        points: at most so many a class and image, at even distances in reading order.
        background: with two classes, let the background have maps as well, and divide by their sum as with more
            classes. The paper has those of the target alone; on glands these leave most of the target below one half.
        tap: read features of the decoder or of the encoder.
        level: of the features, 0 = finest; of the decoder, what the output layer reads.
        fixed_constants: c₁ the mean of z at the class's points and c₂ elsewhere, once, as in the deleted code.
        solver: ``primal_dual``, with a certificate, or ``aos``, the paper's scheme.
        hard: cross-entropy with the likelier class instead of the divergence, the paper's ablation.
        start: share of the run after which the targets count.
        literal: the deleted code's floors of similarity and contrast, and its scaling of r by the largest value.

    Source: Zhang et al., CVPR 2023; hrzhang1123/CVM_WS_Segmentation ``Variational_utils.py`` in its history. The
    refreshes follow the paper; no public code trains.
    """

    name = "cvm"
    paper = "Zhang et al., CVPR 2023"
    recipe = Recipe(optimizer="adam", lr=1e-4, schedule="constant", batch=4)
    needs = Needs(soft_targets=True, validation=True)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 1.0,
        eta: Annotated[float, Bounds(0, 1)] = 0.6,
        lam: Annotated[float, Bounds(0, 1000)] = 5.0,
        beta: Annotated[float, Bounds(0, 1e6)] = 10.0,
        sigma: Annotated[float, Bounds(0, 100)] = 1.0,
        points: Annotated[int, Bounds(1, 64)] = 8,
        background: bool = False,
        tap: TapName = "decoder",
        level: Annotated[int, Bounds(0, 8)] = 0,
        fixed_constants: bool = False,
        solver: SolverName = "primal_dual",
        hard: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        check_tap(net, tap, level)
        self.weight, self.eta, self.points, self.start = weight, eta, points, start
        self.lam, self.beta, self.sigma, self.solver = lam, beta, sigma, solver
        self.tap, self.level, self.background = tap, level, background
        self.fixed_constants, self.hard, self.literal = fixed_constants, hard, literal

    def targets_of(self, out: NetOut, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets of a batch and where there are any."""
        images, count = out.logits.shape[:2]
        maps = contrast_maps(
            tapped(out, self.tap, self.level),
            batch.label,
            mapped_classes(count, background=self.background),
            eta=self.eta,
            most=self.points,
            literal=self.literal,
        )
        regions = two_regions(
            maps.z,
            lam=self.lam,
            beta=self.beta,
            sigma=self.sigma,
            mask=maps.points if self.fixed_constants else None,
            solver=self.solver,
            literal=self.literal,
        )
        mean, there = mean_by_class(regions.u, maps.image, maps.classes, images, count)
        return over_classes(mean, there, batch.label.shape[1:], background=self.background)
