"""CycleMix: mixing that shows what matters, and consistency of what was mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from torch import Tensor

from pointillist.geometry.components import largest_components
from pointillist.losses import partial_ce, pixel_cosine, soft_ce
from pointillist.methods._base import Method, Needs, Recipe, StepOut, Term, marked_ce
from pointillist.methods._puzzle import Smoothness, puzzle_mask
from pointillist.methods._registry import register
from pointillist.methods._rotation import rotated
from pointillist.methods._settings import Bounds
from pointillist.nets.network import SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean
from pointillist.spec import TaskSpec

if TYPE_CHECKING:
    from pointillist.data.batch import Batch

_BLOCKS = (2, 4, 8, 16)


@register
class CycleMix(Method):
    """Images and their marks are mixed in pairs; the mix must be predicted as the mix of both predictions.

    L = CE(f(x), y) + CE(f(x̃), ỹ) + λ_inv (1 − cos(f(x̃), m f(x) + (1−m) f(x′))) + λ_int (1 − cos(f(x), ŷ)), where
    x̃ = m x + (1−m) x′ with m ∈ {0, ½, 1} from PuzzleMix (blocks whose gradient of CE is strong are shown, see
    ``pointillist.methods._puzzle``), one square of each mix is cut out, and each mix is turned by an angle of its own.
    ŷ is the largest connected part of each class of f(x), the rest background. Both cosines are of the class vectors of
    a pixel, means over pixels; no gradient passes through the mix of f(x) and f(x′), nor through ŷ.

    Cost: two forward passes, one backward pass to the image alone, one to the weights: 2.7 times a step of ``pce``.
    Mixing and the minimum cuts, on the processor, take a twentieth of it. Memory is that of two passes.

    When: organs that are one connected part each, marked sparsely, batches of several images. Not for images with many
    objects of a class (nuclei), where ŷ would keep one of them: set ``integrity`` to 0 there.

    Found: the public code's cross-entropies are divided by all pixels instead of by the labelled ones, a factor of
    about a hundred on scribbles. Its block transport moves pixels of the image, but neither the marks nor the
    predictions they are compared with. The mixed prediction takes a gradient, so f(x) also learns to follow the mix.
    Cosines are averaged over the cut-out and the corners that a rotation uncovers, where both vectors are 0. In
    about a fifth of the steps the input is shifted by noise, which the argument ``adv_p`` does not switch off and whose
    first part is a constant, as both bounds of its range are equal. The normaliser keeps the first image's mean and
    deviation for all others.

    Args:
        net: the network.
        spec: the task.
        invariance: λ_inv.
        integrity: λ_int.
        alpha: of the Beta distribution that the share of the image in its mix is drawn from, one a step.
        beta: what unlike neighbouring blocks cost.
        gamma: what clashing colours of neighbouring blocks cost, relative to ``beta``.
        eta: weight of the share that was drawn.
        hole: side of the cut-out, as a share of the image's side.
        start: share of the run after which everything but the first term counts.
        literal: cross-entropies over all pixels, a gradient through the mixed prediction, cosines averaged over all
            pixels, as the public code has it. Not followed there either: transport (4,096² costs an image at 256²), the
            noise, the normaliser, a pass of its own for the gradient, swap moves instead of the exact minimum, and
            rotating to the nearest pixel and back, which loses marks. Here a rotation keeps every pixel that stays
            inside, and predictions are compared in the turned frame.

    Source: Zhang & Zhuang, CVPR 2022; BWGZK/CycleMix ``engines.py``, ``mixup.py``, ``cutout.py``, ``run.sh``. The
    published rate falls to a tenth every 2,000 epochs; here it is constant.
    """

    name = "cyclemix"
    paper = "Zhang & Zhuang, CVPR 2022"
    recipe = Recipe("adam", lr=1e-4, weight_decay=1e-4, schedule="constant", batch=4)
    needs = Needs(min_batch=2)

    def __init__(
        self,
        net: SegmentationNet,
        spec: TaskSpec,
        *,
        invariance: Annotated[float, Bounds(0, 100)] = 0.1,
        integrity: Annotated[float, Bounds(0, 100)] = 0.1,
        alpha: Annotated[float, Bounds(0.01, 100)] = 0.5,
        beta: Annotated[float, Bounds(0, 100)] = 1.2,
        gamma: Annotated[float, Bounds(0, 100)] = 0.5,
        eta: Annotated[float, Bounds(0, 100)] = 0.2,
        hole: Annotated[float, Bounds(0, 1)] = 0.15,
        start: Annotated[float, Bounds(0, 1)] = 0.0,
        literal: bool = False,
    ) -> None:
        super().__init__(net, spec)
        self.invariance, self.integrity = invariance, integrity
        self.alpha, self.smoothness, self.hole = alpha, Smoothness(beta, gamma, eta), hole
        self.start, self.literal = start, literal

    def step(self, batch: Batch, clock: Clock) -> StepOut:
        """Predict the images, mix them where their marks' gradient says so, predict the mix."""
        image = batch.image.detach().requires_grad_()
        logits = self.net(image).logits
        ce = self._marked_ce(logits, batch.label)
        terms = {"pce": Term(ce)}
        if not clock.started(self.start):
            return StepOut(terms)
        (gradient,) = torch.autograd.grad(ce, image, retain_graph=True)
        saliency = gradient.float().square().mean(1).sqrt()
        p = logits.float().softmax(1)
        terms["integrity"] = Term(pixel_cosine(p, self._largest(p)), self.integrity)
        turned, marks, taught, seen = self._mixed(batch, saliency, p if self.literal else p.detach())
        mixed = self.net(turned).logits
        terms["mixed_ce"] = Term(self._soft_ce(mixed, marks))
        terms["invariance"] = Term(self._invariance(mixed.float().softmax(1), taught, seen), self.invariance)
        return StepOut(terms)

    def _mixed(self, batch: Batch, saliency: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Images, marks and predictions, mixed alike and turned alike, and which pixels are neither cut out nor new."""
        count, _, *size = batch.image.shape
        partner = torch.randperm(count).to(batch.image.device)
        blocks = _BLOCKS[int(torch.randint(len(_BLOCKS), ()))]
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        shown = puzzle_mask(batch.image, saliency, partner, blocks, share, self.smoothness)
        parts = [batch.image, _one_hot(batch.label, p.shape[1]), p]
        both = torch.cat([part.to(p.dtype) for part in parts], dim=1)
        kept = holes(count, size, self.hole).logical_not().to(both.device)[:, None]
        mix = torch.cat([(shown * both + (1 - shown) * both[partner]) * kept, kept.to(both.dtype)], dim=1)
        turned = rotated(mix, torch.rand(count) * 360)
        image, marks, taught, seen = torch.split(turned, [*(part.shape[1] for part in parts), 1], dim=1)
        return image.detach(), marks.detach(), taught, seen[:, 0] > 0

    def _marked_ce(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.literal:
            return partial_ce(logits, label, reduction="sum") / label.numel()
        return marked_ce(logits, label)

    def _soft_ce(self, logits: Tensor, marks: Tensor) -> Tensor:
        total = soft_ce(logits, marks, reduction="sum")
        if self.literal:
            return total / marks[:, 0].numel()
        return global_mean(total, marks.sum())

    def _invariance(self, p: Tensor, taught: Tensor, seen: Tensor) -> Tensor:
        if self.literal:  # where nothing is seen both vectors are 0, and their distance is 1
            return pixel_cosine(p * seen[:, None], taught)
        return global_mean(pixel_cosine(p, taught, seen, reduction="sum"), seen.sum())

    def _largest(self, p: Tensor) -> Tensor:
        """One-hot predictions, reduced to the largest part of each class."""
        classes = largest_components(p.argmax(1).byte().cpu().numpy())
        return _one_hot(torch.from_numpy(classes).to(p.device), p.shape[1]).to(p.dtype)


def holes(count: int, size: list[int], share: float) -> Tensor:
    """``(b, h, w)`` true in a square about a random pixel of each image, cut off at the border.

    Args:
        count: images.
        size: rows and columns.
        share: side of the square, as a share of each side of the image.
    """
    inside = []
    for length in size:
        half = round(length * share) // 2
        centre = torch.randint(length, (count, 1))
        place = torch.arange(length)
        inside.append((place >= centre - half) & (place < centre + half))
    rows, columns = inside
    return rows[:, :, None] & columns[:, None]


def _one_hot(label: Tensor, classes: int) -> Tensor:
    """``(b, k, h, w)`` float32, zeros where nothing is marked."""
    return (label[:, None] == torch.arange(classes, device=label.device).view(-1, 1, 1)).float()
