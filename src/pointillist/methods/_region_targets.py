"""Soft targets that regions of an image give, kept a training image, and the loss on them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses import weighted_kl
from pointillist.methods._base import Context, Score, SingleNet, Term, marked_ce
from pointillist.methods._contrast_map import stretched
from pointillist.nets.network import NetOut, SegmentationNet
from pointillist.runtime.clock import Clock
from pointillist.runtime.distributed import global_mean
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch

_LEAST = 1e-3  # sum over classes below which no class claims a pixel

TargetsOf = Callable[[NetOut, "Batch"], tuple[Tensor, Tensor]]
"""Features and marks in; ``(b, k, h, w)`` targets and ``(b, h, w)`` weights of 0 or 1 out."""


class RegionTargets(SingleNet):
    """A network that learns soft targets of its own making, made anew when held-out marks are predicted better.

    Attributes:
        weight: of the divergence from the targets.
        hard: whether the likeliest class stands in for them.
        start: share of the run after which they count.
        term: name of the divergence among the terms of the loss.
    """

    term: ClassVar[str] = "regions"
    weight: float
    hard: bool
    start: float

    def terms(self, out: NetOut, batch: Batch, clock: Clock) -> dict[str, Term]:
        """pCE, and the divergence from the targets once it has started."""
        terms = {"pce": Term(marked_ce(out.logits, batch.label))}
        if clock.started(self.start):
            terms[self.term] = Term(target_loss(out.logits, batch, hard=self.hard), self.weight)
        return terms

    def after_validation(self, ctx: Context, score: Score) -> None:
        """Make all targets anew at a new best score; not at the very end, where nobody would read them."""
        if score.improved and ctx.clock.progress < 1:
            refresh_targets(self.net, ctx, self.targets_of)

    @abstractmethod
    def targets_of(self, out: NetOut, batch: Batch) -> tuple[Tensor, Tensor]:
        """Targets of a batch ``(b, k, h, w)``, and where there are any ``(b, h, w)``."""


def refresh_targets(net: SegmentationNet, ctx: Context, targets_of: TargetsOf) -> None:
    """Make the target of every training image anew, unaugmented and in eval mode.

    Args:
        net: a part of the method that is trained, which a sweep puts into eval mode.
        ctx: the run; its store gets a new generation.
        targets_of: what makes them, in full precision.
    """
    with torch.inference_mode():
        for batch in ctx.sweep():
            with ctx.autocast():
                out = net(batch.image)
            soft, weight = targets_of(out, batch)
            weight = weight * batch.valid
            for name, maps, known in zip(batch.ids, (soft * weight.unsqueeze(1)).cpu(), weight.cpu(), strict=True):
                ctx.targets.put(name, maps, known)
    ctx.targets.commit()


def target_loss(logits: Tensor, batch: Batch, *, hard: bool) -> Tensor:
    """Weighted divergence from the targets, or cross-entropy with the likeliest class; 0 where there are none yet.

    A mean over all pixels with a target, of all processes.

    Args:
        logits: ``(b, k, h, w)``.
        batch: with targets of ``refresh_targets``, moved with the image.
        hard: use the likeliest class alone.
    """
    if batch.soft is None or batch.soft_weight is None:
        return logits.sum() * 0
    known = (batch.soft_weight > 0.5) & batch.valid
    total = batch.soft.sum(1, keepdim=True)
    if hard:
        return marked_ce(logits, batch.soft.argmax(1).masked_fill(~known, IGNORE))
    # between pixels with and without a target, and by rounding, the sum over classes is not quite 1
    target = batch.soft / total.clamp(min=_LEAST)
    return global_mean(weighted_kl(logits, target, known, reduction="sum"), known.sum())


def mean_by_class(maps: Tensor, image: Tensor, classes: Tensor, images: int, count: int) -> tuple[Tensor, Tensor]:
    """``(b, k, h, w)`` N of the mean of each image's and class's maps, and ``(b, k)`` whether it shows anything.

    A mean that is flat, or of no maps, shows nothing.

    Args:
        maps: ``(m, h, w)``.
        image: ``(m,)`` of each map.
        classes: ``(m,)`` of each map.
        images: b.
        count: k.
    """
    place = image * count + classes
    number = torch.bincount(place, minlength=images * count)
    total = maps.new_zeros(images * count, *maps.shape[1:]).index_add_(0, place, maps)
    mean = total / number.clamp(min=1).view(-1, 1, 1)
    normalised = stretched(mean)
    return normalised.view(images, count, *maps.shape[1:]), (normalised.amax((1, 2)) > 0).view(images, count)


def over_classes(maps: Tensor, there: Tensor, grid: torch.Size, *, background: bool = False) -> tuple[Tensor, Tensor]:
    """Maps of single classes as one target.

    With two classes the map of the foreground is u, and the background 1 − u. With more, or where the background of
    two has a map too, each class's map is divided by the sum over classes, and a pixel that none of them claims has no
    target; of two classes both must have a map.

    Args:
        maps: ``(b, k, h, w)`` in [0, 1], one against the rest; of two classes the first is read with ``background``.
        there: ``(b, k)`` whether the class has a map.
        grid: rows and columns of the target.
        background: whether the first of two classes has maps as all others.

    Returns:
        ``(b, k, *grid)`` of sum 1, and ``(b, *grid)`` weights of 0 or 1.
    """
    if maps.shape[2:] != grid:
        maps = F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
    if maps.shape[1] == 2 and not background:
        soft = torch.stack([1 - maps[:, 1], maps[:, 1]], dim=1)
        return soft, there[:, 1].to(soft.dtype).view(-1, 1, 1).expand(-1, *grid)
    if maps.shape[1] == 2:
        there = there.all(1, keepdim=True)
    maps = maps * there[:, :, None, None]
    total = maps.sum(1, keepdim=True)
    return maps / total.clamp(min=_LEAST), (total[:, 0] > _LEAST).to(maps.dtype)


def mapped_classes(count: int, *, background: bool = False) -> tuple[int, ...]:
    """Which classes get maps: of two the foreground alone, unless the background is asked for; else all."""
    return (1,) if count == 2 and not background else tuple(range(count))
