"""Cosine distance between the class vectors of two predictions, pixel by pixel."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision
from pointillist.losses._masks import kept

_TINY = 1e-12  # least squared length; a shorter vector is at right angles with every other


def pixel_cosine(
    first: Tensor, second: Tensor, mask: Tensor | None = None, *, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    r"""Mean of one minus the cosine between two class vectors.

    .. math:: L = \frac{1}{|Ω|} \sum_{p ∈ Ω} \left( 1 - \frac{⟨a_p, b_p⟩}{\|a_p\| \|b_p\|} \right)

    Both sides take a gradient; detach the one that teaches.

    Args:
        first: ``(b, k, *s)`` a, for example probabilities.
        second: ``(b, k, *s)`` b.
        mask: ``(b, *s)`` Boolean Ω, all pixels without it; what stands elsewhere is not read.
        reduction: ``"mean"`` divides by |Ω|, ``"sum"`` does not divide (for means over several processes).

    Returns:
        Scalar: 0 where both point the same way, 1 at right angles, to a vector of zeros as well; 0, connected to the
        graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree, or the reduction is unknown.

    Source: CycleMix (Zhang & Zhuang, CVPR 2022), as the authors' code, which averages over all pixels, those of
    zeros included.
    """
    check_scores(first, "first")
    check_scores(second, "second")
    if first.shape != second.shape:
        msg = f"both predictions must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    a, b = full_precision(first), full_precision(second)
    if mask is not None:
        check_mask(mask, first, "mask")
        a, b = kept(a, mask), kept(b, mask)
    lengths = a.square().sum(1).clamp(min=_TINY) * b.square().sum(1).clamp(min=_TINY)
    distance = 1 - (a * b).sum(1) * lengths.rsqrt()
    total = distance.sum() if mask is None else (distance * mask).sum()
    if reduction == "sum":
        return total
    return total / (distance.numel() if mask is None else mask.sum().clamp(min=1))
