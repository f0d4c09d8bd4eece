"""Partial Dice: the overlap of prediction and label, counted over labelled pixels only."""

from __future__ import annotations

from torch import Tensor

from pointillist.losses._inputs import check_label, check_scores, full_precision
from pointillist.losses._masks import kept, one_hot
from pointillist.types import IGNORE


def partial_dice(probabilities: Tensor, label: Tensor, *, smooth: float = 1e-5) -> Tensor:
    r"""Soft Dice loss over the labelled pixels Ω_L of the whole batch, squared denominators, mean over all classes.

    .. math:: L = \frac{1}{K} \sum_{k=0}^{K-1} \left( 1 - \frac{2 \sum_{p ∈ Ω_L} P_p^k [y_p = k] + ε}
              {\sum_{p ∈ Ω_L} (P_p^k)^2 + \sum_{p ∈ Ω_L} [y_p = k] + ε} \right)

    Sums run over the batch, not over each image; the background counts as a class; ε stands in numerator and
    denominator, so a class that is neither labelled nor predicted on Ω_L scores 0. With a dense label this is the
    Dice of full supervision.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits.
        label: ``(b, *s)`` classes 0 … k−1, ``IGNORE`` where unlabelled.
        smooth: ε > 0, in pixels.

    Returns:
        Scalar in [0, 1]; 0, connected to the graph, where nothing is labelled.

    Raises:
        ValueError: if shapes disagree, a label is no class, or ε is not positive.

    Source: WSL4MIS ``pDLoss`` (Luo et al., MICCAI 2022). Where pixels are ignored, the public code broadcasts the
    mask of every image of the batch over all others; here each image has its own mask. On dense labels the two differ
    only by ε, which the public code divides by the batch size.
    """
    check_scores(probabilities, "probabilities")
    check_label(label, probabilities)
    if not smooth > 0:
        msg = f"smooth must be positive, got {smooth}"
        raise ValueError(msg)
    p = kept(full_precision(probabilities), label != IGNORE)
    is_class = one_hot(label, p.shape[1], p.dtype)
    over = [0, *range(2, p.ndim)]
    shared = (p * is_class).sum(over)
    size = p.square().sum(over) + is_class.sum(over)
    return (1 - (2 * shared + smooth) / (size + smooth)).mean()
