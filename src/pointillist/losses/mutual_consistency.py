"""Consistency of two predictions of one image, each of which learns from the other."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision
from pointillist.losses._masks import all_bits, kept_bits, shielded


def mutual_consistency(
    first: Tensor,
    second: Tensor,
    mask: Tensor,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    literal: bool = False,
) -> Tensor:
    r"""Squared distance between two predictions, mean over classes and the pixels Ω of a mask.

    .. math:: L = \frac{1}{K |Ω|} \sum_{p ∈ Ω} \|P_p - Q_p\|^2, \quad P = \mathrm{softmax}(a), Q = \mathrm{softmax}(b)

    Args:
        first: ``(b, k, *s)`` logits a.
        second: ``(b, k, *s)`` logits b; both take a gradient.
        mask: ``(b, *s)`` Boolean Ω; what stands elsewhere is not read.
        reduction: ``"mean"``, or ``"sum"``, which does not divide by |Ω| (for means over several processes).
        literal: compare logits in place of probabilities, as PCLMix's code does. They have no bound, and adding a
            number to all classes of one prediction changes the distance but neither prediction.

    Returns:
        Scalar, 0 for equal predictions, at most 2/K; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree or the reduction is unknown.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: PCLMix (Lei et al., 2024), equation 9.
    """
    check_scores(first, "first")
    check_scores(second, "second")
    check_mask(mask, first, "mask")
    if first.shape != second.shape:
        msg = f"both predictions must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    a, b = full_precision(first), full_precision(second)
    if not literal:
        a, b = shielded(a, mask).softmax(1), shielded(b, mask).softmax(1)
    total: Tensor = _SquaredDistance.apply(a, b, mask) / first.shape[1]  # type: ignore[no-untyped-call]
    if reduction == "sum":
        return total
    return total / mask.sum().clamp(min=1)


class _SquaredDistance(torch.autograd.Function):
    """Σ_{p ∈ Ω} ‖A_p − B_p‖², with ±2 (A − B) as gradients."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
        apart = kept_bits(a - b, all_bits(mask, a))
        ctx.save_for_backward(apart)
        return apart.square().sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (apart,) = ctx.saved_tensors
        pull = apart * (2 * gradient)
        return pull, -pull, None
