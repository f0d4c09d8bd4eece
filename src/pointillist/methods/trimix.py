"""TriMix: three networks, each taught by the other two on mixed images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor, nn

from pointillist.methods._base import Method, Needs, Recipe, StepOut, Term, marked_ce
from pointillist.methods._mix import CutMix, draw_boxes
from pointillist.methods._parts import Parts
from pointillist.methods._registry import register
from pointillist.methods._settings import Bounds
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock, derive_seed
from pointillist.spec import TaskSpec
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


@register
class TriMix(Method):
    """Three networks; on images mixed of two, each learns what the other two say of them.

    L = Σᵢ pCE(fᵢ(x), y) + λ₁ pCE(fᵢ(Mᵢ x), Mᵢ y) + λ₂ CE(fᵢ(Mᵢ x), ŷᵢ), ŷᵢ = argmax Mᵢ(P_j, P_k) with {i, j, k} =
    {1, 2, 3} and no gradient through ŷ. Network 1 sees the batch as it is, 2 and 3 see it in random orders; Mᵢ pastes a
    box of images of one of the other two orders onto those of the other. Which one is pasted is drawn once a step: the
    lower number everywhere, or the higher. Boxes cover a fifth of an image. The first network predicts.

    Cost: six forward and backward passes a step, in the memory of one: each is back-propagated before the next. An
    image and its mix go through a network one after the other, as in the source: together they would share BatchNorm
    statistics.

    When: there is time for it. It needs no tuned threshold and no memory besides the networks, and the three disagree
    enough to correct each other only as long as they begin with different weights.

    Found: the source's last numbers are those of the three networks' averaged probabilities; a run here ships one
    network, for which the source reports numbers too. Its pseudo labels also cover the corners that a rotation
    uncovers, where there is no image; here they count only in ``literal``.

    Args:
        net: the first network; the others have its architecture and weights of their own.
        spec: the task.
        weight_mixed: λ₁.
        weight_pseudo: λ₂.
        area: share of an image that a box covers.
        start: share of the run after which mixed images count.
        literal: learn pseudo labels where there is no image too.

    Source: Zheng et al., ACCV 2022; MoriLabNU/TriMix ``scribble_supervised/ACDC/code/train_trimix.py``.
    """

    name = "trimix"
    paper = "Zheng et al., ACCV 2022"
    recipe = Recipe(lr=0.03)
    needs = Needs(min_batch=2)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        weight_mixed: Annotated[float, Bounds(0, 100)] = 1.0,
        weight_pseudo: Annotated[float, Bounds(0, 100)] = 1.0,
        area: Annotated[float, Bounds(0, 1)] = 0.2,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.others = nn.ModuleList(net.fresh(seed) for seed in torch.randint(2**62, (2,)).tolist())
        self.weight_mixed, self.weight_pseudo = weight_mixed, weight_pseudo
        self.area, self.start, self.literal = area, start, literal

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """Each network on the batch, then each on its mix of it."""
        parts = Parts(self.parameters())
        nets = [self.net, *self.others]
        said = []
        for i, net in enumerate(nets, start=1):
            logits = net(batch.image).logits
            said.append(self._hard_label(logits, batch.valid))
            parts.add({f"pce_{i}": Term(marked_ce(logits, batch.label))})
        if clock.started(self.start):
            for i, (one, other, mix) in enumerate(self._mixes(batch, clock), start=1):
                logits = nets[i - 1](mix(batch.image, batch.image)).logits
                mixed, pseudo = mix(batch.label, batch.label), mix(said[one], said[other])
                parts.add({
                    f"mixed_{i}": Term(marked_ce(logits, mixed), self.weight_mixed),
                    f"pseudo_{i}": Term(marked_ce(logits, pseudo), self.weight_pseudo),
                })  # fmt: skip
        return parts.step({})

    def _hard_label(self, logits: Tensor, valid: Tensor) -> Tensor:
        """``(b, h, w)`` likeliest classes. Pasting them is the same as pasting probabilities first, for less."""
        label = logits.detach().argmax(1)
        return label if self.literal else label.masked_fill(~valid, IGNORE)

    def _mixes(self, batch: Batch, clock: Clock) -> list[tuple[int, int, CutMix]]:
        """For each network which other one's images are pasted, onto which other one's, and how."""
        (count, rows, columns), device = batch.label.shape, batch.label.device
        as_it_is = torch.arange(count, device=device)
        orders = [as_it_is, torch.randperm(count, device=device), torch.randperm(count, device=device)]
        boxes = draw_boxes(count, (rows, columns), self.area, device=device)
        higher = derive_seed(clock.seed, clock.step, "trimix pasted") % 2
        pairs = [pair[::-1] if higher else pair for pair in ((1, 2), (0, 2), (0, 1))]
        return [(one, other, CutMix.of(boxes, orders[one], orders[other])) for one, other in pairs]
