"""Running averages of a network's predictions, one a training image, and the labels they are sure of.

The store keeps the average m of every class, and as its weight the same average of the constant 1, which after n
updates is 1 − (1−α)ⁿ. That weight is the bias of an average that began at 0, and tells n: nothing else is remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pointillist.methods._base import Context
from pointillist.nets.network import SegmentationNet
from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.data.batch import Batch


def update_averages(net: SegmentationNet, ctx: Context, alpha: float) -> None:
    r"""One more prediction of every training image, unaugmented and in eval mode, into its average.

    .. math:: m ← (1 - α) m + α P, \quad m_0 = 0

    Float16 keeps m to within 0.001 at α = 0.2. Eight bits would not do: a change below 1/510 rounds to none, so the
    average would stop 0.01 short of the prediction, and 0.02 at α = 0.1, next to a threshold of 0.95.

    Args:
        net: a part of the method that is trained, which a sweep puts into eval mode.
        ctx: the run; its store gets a new generation.
        alpha: α, the share of the newest prediction.
    """
    with torch.inference_mode(), ctx.autocast():
        for batch in ctx.sweep():
            predicted = net(batch.image).logits.float().softmax(1)
            now = torch.cat([predicted, torch.ones_like(predicted[:, :1])], dim=1).mul_(batch.valid.unsqueeze(1))
            average = now.mul_(alpha)
            before = ctx.targets.get(batch.ids)
            if before is not None:
                soft, weight = (one.to(now.device) for one in before)
                average[:, :-1].add_(soft, alpha=1 - alpha)
                average[:, -1].add_(weight, alpha=1 - alpha)
            for name, maps in zip(batch.ids, average.cpu(), strict=True):
                ctx.targets.put(name, maps[:-1], maps[-1])
    ctx.targets.commit()


def sure_label(batch: Batch, threshold: float, *, literal: bool = False) -> Tensor:
    """The likeliest class of the running average where it is likelier than a threshold and nothing is marked.

    The average is divided by its weight 1 − (1−α)ⁿ, so from the first update on it is one of predictions alone.

    Args:
        batch: with ``soft`` and ``soft_weight`` of ``update_averages``; without them nothing is sure.
        threshold: t.
        literal: leave the average as it is. It lies below 1 − (1−α)ⁿ, and nothing is sure before that exceeds t. Of
            two classes the original averages the foreground alone, and the background is 1 − m: there the background
            is sure after the first update, the foreground as late as ever.

    Returns:
        ``(b, h, w)`` classes as int64, ``IGNORE`` where unsure, marked, or without an average.
    """
    if batch.soft is None or batch.soft_weight is None:
        return torch.full_like(batch.label, IGNORE)
    average, weight = batch.soft, batch.soft_weight
    if literal and average.shape[1] == 2:
        average = torch.stack([weight.sign() - average[:, 1], average[:, 1]], dim=1)
    likeliest, label = average.max(dim=1)
    sure = likeliest > (threshold if literal else threshold * weight)
    return label.masked_fill(~(sure & (batch.label == IGNORE)), IGNORE)
