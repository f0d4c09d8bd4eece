"""Cross-entropy against soft labels that cover a part of the pixels."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import check_scores, full_precision
from pointillist.losses._masks import kept


def soft_ce(logits: Tensor, target: Tensor, *, reduction: Literal["mean", "sum"] = "mean") -> Tensor:
    r"""Cross-entropy with class weights at every pixel, a mean over all weight.

    .. math:: L = -\frac{1}{\sum_p \sum_k t_p^k} \sum_p \sum_k t_p^k \log \mathrm{softmax}(z_p)_k

    With one-hot t on labelled and 0 on other pixels it is ``partial_ce``. Where all t_p^k are 0, the logits take no
    gradient and are not read. The target takes no gradient.

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z.
        target: ``(b, k, *s)`` t ≥ 0; what it lacks to 1 at a pixel counts as unlabelled.
        reduction: ``"mean"`` divides by the sum of t, ``"sum"`` does not divide (for means over several processes).

    Returns:
        Scalar in nats; 0, connected to the graph, where t is 0 everywhere.

    Raises:
        ValueError: if shapes disagree, or the reduction is unknown.

    Source: mixed scribbles of CycleMix (Zhang & Zhuang, CVPR 2022), whose code divides by the number of all pixels
    instead and takes log(P + 1e-12).
    """
    check_scores(logits, "logits")
    if target.shape != logits.shape or not target.is_floating_point():
        expected, got = tuple(logits.shape), tuple(target.shape)
        msg = f"target must be a floating tensor {expected}, got {target.dtype} {got}"
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    share = full_precision(target.detach())
    labelled = share.sum(1)
    scores = kept(full_precision(logits), labelled != 0)
    total = F.cross_entropy(scores, share.to(scores.dtype), reduction="sum")
    if reduction == "sum":
        return total
    weight = labelled.sum()
    return total / weight.masked_fill(weight == 0, 1)
