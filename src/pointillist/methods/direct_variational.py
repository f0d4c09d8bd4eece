"""Regions of the network's own prediction as soft labels: CVM's variational model without contrast maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from torch import Tensor

from pointillist.methods._base import Needs, Recipe
from pointillist.methods._region_targets import RegionTargets, mapped_classes, over_classes
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.solvers.variational import SolverName, two_regions
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch

_APART = 1e-3  # constants nearer to each other part nothing


@register
class DirectVariational(RegionTargets):
    """Smooth regions of what the network predicts are its soft labels.

    L = pCE + w · wKL(u, P) with u = argmin over [0, 1] of Σ g|∇u| + λ Σ r u, g = 1/(1 + β|∇P_σ|²) and r ∝ (P − c₁)² −
    (P − c₂)², where P is a prediction that was made earlier and c₁, c₂ its means inside and outside of u. wKL weighs
    pixels by exp(−2h), h the entropy of u. Targets are made anew, unaugmented and in eval mode, whenever partial
    cross-entropy on held-out marks reaches a new minimum. With two classes u is the foreground's; with more, each class
    is parted from the rest and divided by the sum over classes.

    Cost: 1.03 times a step of ``pce``; a refresh is a forward pass over all training images and the solver, K maps
    an image. K + 1 maps of float16 an image on disk for each of up to three generations.

    When: as a comparator of ``cvm``. It removes specks and smooths boundaries, and otherwise confirms what the network
    believes: regions that are wrong become surely wrong.

    Found: the paper gives it one sentence. When the targets are made and what happens to a constant prediction is our
    reading: the prediction of a class whose constants differ by less than 0.001 stays as it is, and an image in which
    no class is parted has no target.

    Args:
        net: the network.
        spec: the task.
        weight: w.
        lam: λ.
        beta: β.
        sigma: σ, in pixels.
        solver: ``primal_dual``, with a certificate, or ``aos``, the scheme of the paper.
        hard: cross-entropy with the likelier class instead of the divergence.
        start: share of the run after which the targets count.

    Source: "direct variational regularization" in table 1 of Zhang et al., CVPR 2023.
    """

    name = "direct_variational"
    paper = "Zhang et al., CVPR 2023"
    recipe = Recipe(optimizer="adam", lr=1e-4, schedule="constant", batch=4)
    needs = Needs(soft_targets=True, validation=True)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight: Annotated[float, Bounds(0, 100)] = 1.0,
        lam: Annotated[float, Bounds(0, 1000)] = 5.0,
        beta: Annotated[float, Bounds(0, 1e6)] = 10.0,
        sigma: Annotated[float, Bounds(0, 100)] = 1.0,
        solver: SolverName = "primal_dual",
        hard: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
    ) -> None:
        super().__init__(net, spec)
        self.weight, self.hard, self.start = weight, hard, start
        self.lam, self.beta, self.sigma, self.solver = lam, beta, sigma, solver

    def targets_of(self, out: NetOut, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets of a batch and where there are any."""
        predicted = out.logits.float().softmax(1)
        chosen = list(mapped_classes(predicted.shape[1]))
        z = predicted[:, chosen].flatten(0, 1)
        regions = two_regions(z, lam=self.lam, beta=self.beta, sigma=self.sigma, solver=self.solver)
        parted = regions.c1 - regions.c2 >= _APART
        maps = predicted.clone()
        maps[:, chosen] = regions.u.where(parted.view(-1, 1, 1), z).view(len(maps), len(chosen), *maps.shape[2:])
        known = parted.view(len(maps), -1).any(1)
        soft, weight = over_classes(maps, predicted.new_ones(predicted.shape[:2]), batch.label.shape[1:])
        return soft, weight * known.view(-1, 1, 1)
