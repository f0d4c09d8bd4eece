"""Noise-robust Dice: an overlap that forgives a few wrong labels."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._inputs import check_label, check_scores, full_precision
from pointillist.losses._masks import kept, one_hot
from pointillist.types import IGNORE


def noise_robust_dice(probabilities: Tensor, label: Tensor, *, gamma: float = 1.5, smooth: float = 1e-5) -> Tensor:
    r"""Dice between the mean absolute error (γ = 1) and the squared-error Dice (γ = 2), over the labelled pixels Ω_L.

    .. math:: L = \frac{1}{K} \sum_{k=0}^{K-1}
              \frac{\sum_{p ∈ Ω_L} |P_p^k - [y_p = k]|^γ}{\sum_{p ∈ Ω_L} (P_p^k + [y_p = k]) + ε}

    Sums run over the batch; the background counts as a class. For a one-hot P and γ = 2 it is ``partial_dice`` up to ε.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits.
        label: ``(b, *s)`` classes 0 … k−1, ``IGNORE`` where unlabelled.
        gamma: γ in [1, 2]; the smaller, the less a single wrong label pulls.
        smooth: ε > 0, in pixels.

    Returns:
        Scalar in [0, 1]; 0, connected to the graph, where nothing is labelled.

    Raises:
        ValueError: if shapes disagree, a label is no class, γ is out of range, or ε is not positive.

    Source: Wang et al., TMI 2020 (COPLE-Net), as in SC-Net (Zhou et al., MICCAI 2023). SC-Net's code does not leave
    unlabelled pixels out but gives them the label 0 of every class, and its loss never uses the value.
    """
    check_scores(probabilities, "probabilities")
    check_label(label, probabilities)
    if not 1 <= gamma <= 2:
        msg = f"gamma must lie in [1, 2], got {gamma}"
        raise ValueError(msg)
    if not smooth > 0:
        msg = f"smooth must be positive, got {smooth}"
        raise ValueError(msg)
    p = kept(full_precision(probabilities), label != IGNORE)
    is_class = one_hot(label, p.shape[1], p.dtype)
    over = [0, *range(2, p.ndim)]
    error = _power(p - is_class, gamma).sum(over)
    size = p.sum(over) + is_class.sum(over)
    return (error / (size + smooth)).mean()


def _power(x: Tensor, gamma: float) -> Tensor:
    """|x|^γ; powers are slow, so the one of the derivative γ |x|^(γ−1) sign(x) serves the value too."""
    with torch.no_grad():
        pull = x.abs().pow_(gamma - 1).mul_(x.sign())
    product = x * pull
    return torch.lerp(product.detach(), product, gamma)
