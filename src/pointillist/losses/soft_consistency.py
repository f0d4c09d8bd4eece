"""Consistency: a prediction should equal a soft target, wherever that may teach."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision


def soft_consistency(
    logits: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    literal: bool = False,
) -> Tensor:
    r"""Squared distance between a prediction and a soft target, mean over classes and the pixels Ω of a mask.

    .. math:: L = \frac{1}{K |Ω|} \sum_{p ∈ Ω} \|P_p - Q_p\|^2, \quad P = \mathrm{softmax}(z)

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z of the student.
        target: ``(b, k, *s)`` probabilities Q of the teacher; no gradient passes through them.
        mask: ``(b, *s)`` Boolean Ω; what stands in logits and target elsewhere is not read.
        reduction: ``"mean"``, or ``"sum"``, which does not divide by |Ω| (for means over several processes).
        literal: divide by 2 |Ω| whatever K, as the public codes of uncertainty-aware mean teachers do.

    Returns:
        Scalar, at most 2/K; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree or the reduction is unknown.

    Source: Yu et al., MICCAI 2019 (UA-MT), where K = 2; the mean over classes is also MixMatch's.
    """
    check_scores(logits, "logits")
    check_mask(mask, logits, "mask")
    if target.shape != logits.shape or not target.is_floating_point():
        msg = (
            f"target must be floating and shaped as logits, {tuple(logits.shape)}, "
            f"got {target.dtype} {tuple(target.shape)}"
        )
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    outside = ~mask.unsqueeze(1)
    p = full_precision(logits).masked_fill(outside, 0).softmax(1)
    q = torch.where(
        outside, p.detach(), target.detach().to(p.dtype)
    )  # equal outside the mask: neither value nor gradient
    total = F.mse_loss(p, q, reduction="sum") / (2 if literal else logits.shape[1])
    if reduction == "sum":
        return total
    return total / mask.sum().clamp(min=1)
