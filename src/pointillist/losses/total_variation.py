"""Total variation: the length of the boundaries of a soft prediction."""

from __future__ import annotations

from torch import Tensor

from pointillist.losses._inputs import check_scores, full_precision
from pointillist.losses._variation import isotropic_variation, variation


def total_variation(probabilities: Tensor, *, isotropic: bool = False, eps: float = 1e-3) -> Tensor:
    r"""Mean variation of the foreground probabilities between neighbouring pixels.

    .. math:: L = \frac{1}{B (K-1) N} \sum_{n} \sum_{k=1}^{K-1} \sum_{p} |Δ_x P_p^k| + |Δ_y P_p^k|

    with forward differences inside each image of N pixels; a square of k × k ones contributes 4k. The isotropic form
    sums √(Δ_x² + Δ_y² + ε²) − ε, which favours the directions of the axes less.

    Args:
        probabilities: ``(b, k, *s)`` P, softmax of the logits; channel 0 is the background, which is left out.
        isotropic: lengths of the gradient instead of sums of its components.
        eps: ε > 0 of the isotropic form, in units of P: differences far below it count by their square.

    Returns:
        Scalar ≥ 0, exactly 0 for a constant prediction; 0, connected to the graph, without a foreground channel.

    Raises:
        ValueError: if this is no floating ``(b, k, *s)``, or ε is not positive.

    Source: Rudin, Osher & Fatemi 1992, in the ℓ1 form of Kim & Ye's code. What WSL4MIS calls total variation is
    ``contour``.
    """
    check_scores(probabilities, "probabilities")
    if not eps > 0:
        msg = f"eps must be positive, got {eps}"
        raise ValueError(msg)
    p = full_precision(probabilities)
    lengths = isotropic_variation(p, eps) if isotropic else variation(p)
    return lengths[:, 1:].sum() / max(p[:, 1:].numel(), 1)
