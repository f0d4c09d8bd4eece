"""Partial cross-entropy: learn from the labelled pixels, say nothing about the others."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import check_label, check_scores, full_precision
from pointillist.losses._masks import shielded
from pointillist.types import IGNORE


def partial_ce(logits: Tensor, label: Tensor, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Cross-entropy over the labelled pixels Ω_L of the whole batch.

    .. math:: L = -\frac{1}{|Ω_L|} \sum_{p ∈ Ω_L} \log \mathrm{softmax}(z_p)_{y_p}

    Pixels without a label get a gradient of exactly 0, and whatever stands in their logits, NaN included, is not
    read. Shapes are fixed (no gather of the labelled pixels), so the function compiles and can be captured.

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z.
        label: ``(b, *s)`` classes 0 … k−1, ``IGNORE`` where unlabelled.
        reduction: ``"mean"`` divides by the number of labelled pixels of the batch, ``"sum"`` does not divide (for
            means over several processes).

    Returns:
        Scalar in nats; 0, connected to the graph, where nothing is labelled.

    Raises:
        ValueError: if shapes disagree, a label is no class, or the reduction is unknown.

    Source: Tang et al., CVPR 2018; equal to WSL4MIS' ``CrossEntropyLoss(ignore_index=4)`` where that is defined
    (it is NaN on a batch without labels). CycleMix divides by all pixels, PSCV sums.
    """
    check_scores(logits, "logits")
    check_label(label, logits)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    labelled = label != IGNORE
    scores = shielded(full_precision(logits), labelled)
    total = F.cross_entropy(scores, label.long(), ignore_index=IGNORE, reduction="sum")
    if reduction == "sum":
        return total
    return total / labelled.sum().clamp(min=1)
