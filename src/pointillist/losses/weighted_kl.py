"""Divergence from soft targets, in which unsure targets count less."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision


def weighted_kl(
    logits: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    r"""Kullback–Leibler divergence of the prediction from a target, weighted by how sure the target is.

    .. math:: L = \frac{1}{|Ω|} \sum_{p ∈ Ω} e^{-2 h_p} \sum_k u_p^k \log \frac{u_p^k}{P_p^k}, \quad
              h_p = -\sum_k u_p^k \log u_p^k, \quad P = softmax(z)

    The weight is 1 for a one-hot target and 1/K² for a uniform one. The gradient is that of cross-entropy with the soft
    target, times the weight; the target takes none.

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z.
        target: ``(b, k, *s)`` u ≥ 0, of sum 1 at every pixel of the mask.
        mask: ``(b, *s)`` Boolean Ω, all pixels without it; nothing is read elsewhere.
        reduction: ``"mean"`` divides by |Ω|, ``"sum"`` does not divide (for means over several processes).

    Returns:
        Scalar in nats, ≥ 0, and 0 for P = u; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree, or the reduction is unknown.

    Source: Zhang et al., CVPR 2023, for two classes. The second line of the paper's equation bears a minus sign that
    its first line, and the sense, contradict. No public code of the loss exists.
    """
    check_scores(logits, "logits")
    if target.shape != logits.shape or not target.is_floating_point():
        expected, got = tuple(logits.shape), tuple(target.shape)
        msg = f"target must be a floating tensor {expected}, got {target.dtype} {got}"
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    scores, u = full_precision(logits), full_precision(target.detach())
    if mask is not None:
        check_mask(mask, logits, "mask")
        outside = ~mask.unsqueeze(1)
        scores, u = scores.masked_fill(outside, 0), u.masked_fill(outside, 0)
    u = u.to(scores.dtype)
    negative_entropy = torch.xlogy(u, u).sum(1)
    divergence = negative_entropy - (u * F.log_softmax(scores, dim=1)).sum(1)
    total = ((2 * negative_entropy).exp() * divergence).sum()
    if reduction == "sum":
        return total
    count = divergence.numel() if mask is None else mask.sum().clamp(min=1)
    return total / count
