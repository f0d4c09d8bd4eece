"""Consistency: a prediction should equal a soft target, wherever that may teach."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from pointillist.losses._inputs import check_mask, check_scores, full_precision
from pointillist.losses._masks import all_bits, kept_bits


def soft_consistency(
    logits: Tensor,
    target: Tensor,
    mask: Tensor,
    *,
    reduction: Literal["mean", "sum"] = "mean",
    literal: bool = False,
) -> Tensor:
    r"""Squared distance between a prediction and a soft target, mean over classes and the pixels Ω of a mask.

    .. math:: L = \frac{1}{K |Ω|} \sum_{p ∈ Ω} \|P_p - Q_p\|^2, \quad P = \mathrm{softmax}(z)

    Args:
        logits: ``(b, k, *s)`` unnormalised scores z of the student.
        target: ``(b, k, *s)`` probabilities Q of the teacher; no gradient passes through them.
        mask: ``(b, *s)`` Boolean Ω; what stands in logits and target elsewhere is not read.
        reduction: ``"mean"``, or ``"sum"``, which does not divide by |Ω| (for means over several processes).
        literal: divide by 2 |Ω| whatever K, as the public codes of uncertainty-aware mean teachers do.

    Returns:
        Scalar, at most 2/K; 0, connected to the graph, for an empty mask.

    Raises:
        ValueError: if shapes disagree or the reduction is unknown.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: Yu et al., MICCAI 2019 (UA-MT), where K = 2; the mean over classes is also MixMatch's.
    """
    check_scores(logits, "logits")
    check_mask(mask, logits, "mask")
    if target.shape != logits.shape or not target.is_floating_point():
        msg = (
            f"target must be floating and shaped as logits, {tuple(logits.shape)}, "
            f"got {target.dtype} {tuple(target.shape)}"
        )
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    z = full_precision(logits)
    error: Tensor = _SquaredError.apply(z, target.detach().to(z.dtype), mask)  # type: ignore[no-untyped-call]
    total = error / (2 if literal else logits.shape[1])
    if reduction == "sum":
        return total
    return total / mask.sum().clamp(min=1)


class _SquaredError(torch.autograd.Function):
    """Σ_{p ∈ Ω} ‖P_p − Q_p‖² with ∂/∂z = 2 P ⊙ (D − ⟨P, D⟩), D = P − Q."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, q: Tensor, mask: Tensor) -> Tensor:
        p = z.softmax(1)
        bits = all_bits(mask, p)
        apart = kept_bits(p - q, bits)
        ctx.save_for_backward(p, apart, bits)
        return apart.square().sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        p, apart, bits = ctx.saved_tensors
        along = (p * apart).sum(1, keepdim=True)
        return kept_bits((apart - along).mul_(p).mul_(2 * gradient), bits), None, None
