"""Training on contrast maps themselves: CVM without its variational model."""

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
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class ContrastMap(RegionTargets):
    """The mean contrast map of a class's points is its soft label.

    L = pCE + w · wKL(z, P) with z = N(mean_p z_p), z_p = mean_q N(ReLU(S_p − η S_q)²), S_p(x) = cos(f_p, a_x), for the
    points p of a class and q of the others, and N the stretching to [0, 1]. wKL weighs pixels by exp(−2h), h the
    entropy of z. Targets are made anew, unaugmented and in eval mode, whenever partial cross-entropy on held-out marks
    reaches a new minimum. It is ``cvm`` without regions; classes, points and refreshes are the same.

    Cost: 1.03 times a step of ``pce``; a refresh is a forward pass over all training images and products of maps, a
    hundredth of a second an image of 128² with four classes of four points. K + 1 maps of float16 an image on disk for
    each of up to three generations.

    When: to see what the variational model adds, or as a cheap substitute: the paper finds a Dice of .709 with contrast
    maps alone and .735 with regions (Camelyon16). Values in the middle of the range are common, so most pixels count
    little.

    Found: the paper names it in one sentence; that the loss is the weighted divergence of its main method, and the
    normalisation the one of single maps, is our reading.

    Args:
        net: the network.
        spec: the task.
        weight: w.
        eta: η, how much of the others' similarity is taken off; 0.6 is best in the paper, 0 uses no other points.
        points: at most so many a class and image, at even distances in reading order.
        background: with two classes, let the background have maps as well, and divide by their sum as with more
            classes. The paper has those of the target alone; on glands these leave most of the target below one half.
        tap: read features of the decoder or of the encoder.
        level: of the features, 0 = finest; of the decoder, what the output layer reads.
        hard: cross-entropy with the likelier class instead of the divergence.
        start: share of the run after which the targets count.
        literal: the deleted code's floors of similarity and contrast.

    Source: "supervised by contrast map" in table 1 of Zhang et al., CVPR 2023.
    """

    name = "contrast_map"
    term = "contrast"
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
        points: Annotated[int, Bounds(1, 64)] = 8,
        background: bool = False,
        tap: TapName = "decoder",
        level: Annotated[int, Bounds(0, 8)] = 0,
        hard: bool = False,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        check_tap(net, tap, level)
        self.weight, self.eta, self.points, self.start = weight, eta, points, start
        self.tap, self.level, self.background = tap, level, background
        self.hard, self.literal = hard, literal

    def targets_of(self, out: NetOut, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets of a batch and where there are any."""
        images, count = out.logits.shape[:2]
        features = tapped(out, self.tap, self.level)
        maps = contrast_maps(
            features,
            batch.label,
            mapped_classes(count, background=self.background),
            eta=self.eta,
            most=self.points,
            literal=self.literal,
        )
        mean, there = mean_by_class(maps.z, maps.image, maps.classes, images, count)
        return over_classes(mean, there, batch.label.shape[1:], background=self.background)
