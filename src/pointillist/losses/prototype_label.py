"""Pseudo labels by likeness: a pixel whose features resemble those at the marks of one class takes that class."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._inputs import check_label, check_scores, full_precision
from pointillist.types import IGNORE

_EPS = 1e-8  # features shorter than this have no direction


@torch.no_grad()
def prototype_label(
    features: Tensor, label: Tensor, classes: int, *, similarity: float = 0.8, margin: float = 0.2
) -> Tensor:
    r"""Class of the nearest prototype of the same image, where it is near and the others are not.

    .. math:: v_k = \frac{1}{|Ω_k|} \sum_{p ∈ Ω_k} \frac{f_p}{\|f_p\|}, \quad s_k(p) = \cos(v_k, f_p), \quad
              ŷ_p = \arg\max_k s_k(p) \text{ where } s_{(1)} > s_{min} \text{ and } s_{(1)} - s_{(2)} > m

    Ω_k are the pixels of the image that are labelled k, and s_(1) ≥ s_(2) the two largest similarities. A class that
    is not labelled in the image has s_k = −1; a zero feature has s_k = 0. Costs one (K×C)(C×HW) product an image.

    Args:
        features: ``(b, c, h, w)`` f; no gradient passes.
        label: ``(b, h, w)`` classes 0 … K−1, ``IGNORE`` where unlabelled.
        classes: K ≥ 2.
        similarity: s_min.
        margin: m ≥ 0.

    Returns:
        ``(b, h, w)`` int64 classes, ``IGNORE`` where no class is near or two are, and on labelled pixels, which need
        none.

    Raises:
        ValueError: if shapes disagree, a label is no class, there are fewer than two classes, or the margin is
            negative.

    Source: our reading of Peng et al. (partial annotations of emphysema), of whom only the abstract and one line in the
    paper of CVM were at hand.
    """
    check_scores(features, "features")
    if classes < 2 or margin < 0:
        msg = f"prototypes need at least 2 classes and a margin of at least 0, got {classes} and {margin}"
        raise ValueError(msg)
    check_label(label, features[:, :1].expand(-1, classes, *[-1] * (features.ndim - 2)))
    f = full_precision(features).flatten(2)
    length = f.norm(dim=1, keepdim=True).clamp(min=_EPS)
    is_class = label.flatten(1).unsqueeze(1) == torch.arange(classes, device=label.device).view(1, -1, 1)
    directions = (is_class / length) @ f.transpose(
        1, 2
    )  # the sum serves as well as the mean: only its direction counts
    prototypes = directions / directions.norm(dim=2, keepdim=True).clamp(min=_EPS)
    likeness = (prototypes @ f) / length
    likeness = likeness.masked_fill(~is_class.any(2, keepdim=True), -1)
    best, nearest = likeness.max(1)
    second = likeness.scatter(1, nearest.unsqueeze(1), -torch.inf).amax(1)
    near = (best > similarity) & (best - second > margin)
    return torch.where(near.view_as(label) & (label == IGNORE), nearest.view_as(label), IGNORE)
