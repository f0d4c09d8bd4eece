"""Entropy minimisation: be sure everywhere, labelled or not."""

from __future__ import annotations

import math

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision
from pointillist.losses._masks import kept


def entropy(logits: Tensor, mask: Tensor | None = None) -> Tensor:
    r"""Mean entropy of the prediction, as a fraction of the largest possible.

    .. math:: L = \frac{1}{|Ω| \ln K} \sum_{p ∈ Ω} H(P_p), \quad H(P) = -\sum_k P^k \log P^k, \quad P = softmax(z)

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z, k ≥ 2.
        mask: ``(b, *s)`` Boolean Ω, all pixels without it; what stands in the logits elsewhere is not read.

    Returns:
        Scalar in [0, 1]: 1 for uniform, 0 for one-hot predictions; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree or there is only one class.

    Source: Grandvalet & Bengio, NeurIPS 2004, as in WSL4MIS, which takes all pixels and computes log(P + 1e-6):
    up to K·1e-6 less than this.
    """
    check_scores(logits, "logits")
    classes = logits.shape[1]
    if classes < 2:
        msg = f"entropy needs at least 2 classes, got logits {tuple(logits.shape)}"
        raise ValueError(msg)
    scores = full_precision(logits)
    if mask is not None:
        check_mask(mask, logits, "mask")
        scores = kept(scores, mask)
    log_p = F.log_softmax(scores, dim=1)
    pixelwise = -(log_p.exp() * log_p).sum(1) / math.log(classes)
    if mask is None:
        return pixelwise.mean()
    return (pixelwise * mask).sum() / mask.sum().clamp(min=1)
