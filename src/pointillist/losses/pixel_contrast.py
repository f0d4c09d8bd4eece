"""Contrast of pixels with remembered vectors of all classes."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import full_precision
from pointillist.losses._masks import kept
from pointillist.types import IGNORE

_PAIRS_AT_ONCE = 2**20  # anchors are taken in groups of about so many pairs with the memory
_TINY = 1e-12  # least length of a vector


def pixel_contrast(
    anchors: Tensor,
    label: Tensor,
    memory: Tensor,
    memory_label: Tensor,
    *,
    tau: float = 0.07,
    reduction: Literal["mean", "sum"] = "mean",
    literal: bool = False,
) -> Tensor:
    r"""InfoNCE of every anchor: nearer to the memory of its class than to that of all others.

    .. math:: L = \frac{1}{N} \sum_i \frac{1}{|P_i|} \sum_{j ∈ P_i}
              \log \left( 1 + e^{-s_{ij}} \sum_{k ∈ N_i} e^{s_{ik}} \right), \quad
              s_{ij} = \frac{⟨v_i, m_j⟩}{τ \|v_i\| \|m_j\|}

    P holds the memory of the anchor's class, N that of all others. An anchor without either teaches nothing and is not
    counted in N. The table of pairs is never whole in memory: its gradient is summed in the same sweep, a group of
    anchors at a time.

    Args:
        anchors: ``(n, d)`` v.
        label: ``(n,)`` their classes; those of ``IGNORE`` are not read.
        memory: ``(m, d)`` vectors; they take no gradient.
        memory_label: ``(m,)`` their classes; those of ``IGNORE`` are not read.
        tau: temperature τ.
        reduction: ``"mean"`` over the anchors that count; ``"sum"`` does not divide (for means over several processes).
        literal: take vector i of the memory out of the positives of anchor i, as the public code's mask against
            comparing a pixel with itself does although its anchors are not in its memory.

    Returns:
        Scalar, log(1 + M) for one positive and M negatives that are all equally near; 0, connected to the graph, where
        no anchor counts.

    Raises:
        ValueError: if shapes disagree, τ is not positive, or the reduction is unknown.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: PCLMix (Lei et al., 2024), equation 8, after Wang et al., ICCV 2021.
    """
    if anchors.ndim != 2 or memory.ndim != 2 or anchors.shape[1] != memory.shape[1]:
        msg = (
            "anchors (n, d) and memory (m, d) must have vectors of one length, "
            f"got {tuple(anchors.shape)} and {tuple(memory.shape)}"
        )
        raise ValueError(msg)
    lengths = (anchors.shape[:1], memory.shape[:1])
    if (label.shape, memory_label.shape) != lengths:
        msg = (
            f"every vector needs one class, {tuple(map(tuple, lengths))}, "
            f"got {tuple(label.shape)} and {tuple(memory_label.shape)}"
        )
        raise ValueError(msg)
    if not tau > 0:
        msg = f"tau must be positive, got {tau}"
        raise ValueError(msg)
    if reduction not in ("mean", "sum"):
        msg = f"reduction must be 'mean' or 'sum', got {reduction!r}"
        raise ValueError(msg)
    v = _unit(kept(full_precision(anchors), label != IGNORE))
    m = _unit(kept(memory.detach().to(v.dtype), memory_label != IGNORE))
    total, count = _Contrast.apply(v, m, label, memory_label, tau, literal)  # type: ignore[no-untyped-call]
    if reduction == "sum":
        return total  # type: ignore[no-any-return]
    return total / count.clamp(min=1)  # type: ignore[no-any-return]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=1, eps=_TINY)


class _Contrast(torch.autograd.Function):
    """The sum over anchors and how many count, with the gradient found in the same sweep.

    With S the log of the sum over negatives, a positive has −σ(S − s), and the negatives share what the positives
    lose in the proportions of their softmax.
    """

    @staticmethod
    def forward(
        ctx: Any, v: Tensor, m: Tensor, label: Tensor, memory_label: Tensor, tau: float, literal: bool
    ) -> tuple[Tensor, Tensor]:
        gradient, total, count = torch.zeros_like(v), v.new_zeros(()), label.new_zeros(())
        group = max(1, _PAIRS_AT_ONCE // max(1, len(m)))
        known = (memory_label != IGNORE).to(v.dtype)
        numbers = memory_label.to(v.dtype)
        with torch.autocast(v.device.type, enabled=False):  # it would multiply matrices in half precision
            for start in range(0, len(v), group) if len(m) else ():
                some = slice(start, start + group)
                positive = _equal(label[some].to(v.dtype), numbers).mul_(known)
                negative = known - positive
                if literal:
                    _without_diagonal(positive, start)
                positives = positive.sum(1)
                counts = (positives > 0) & (negative.sum(1) > 0) & (label[some] != IGNORE)
                share = counts / positives.clamp(min=1)
                loss, pull = _rows((v[some] / tau) @ m.T, positive, negative)
                total += (loss * share).sum()
                count += counts.sum()
                gradient[some] = (pull @ m) * (share / tau).unsqueeze(1)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(count)
        return total, count

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # under create_graph; the gradient would pass for a constant
            msg = "pixel_contrast has no second derivative; differentiate it without create_graph"
            raise RuntimeError(msg)
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None, None, None


def _equal(one: Tensor, other: Tensor) -> Tensor:
    """``(n, m)`` of 1 where numbers ``(n,)`` and ``(m,)`` agree, else 0; as Booleans they take ten times as long."""
    return one.unsqueeze(1).repeat(1, len(other)).eq_(other)


def _rows(s: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """``(n,)`` sum over the positives of each anchor, and ``(n, m)`` its derivative by the similarities s.

    Rows without negatives or positives hold finite numbers that mean nothing. Masks are 0 and 1: masked_fill stumbles
    over classes that alternate.
    """
    nearest = (negative - 1).mul_(torch.finfo(s.dtype).max / 4).add_(s).amax(1, keepdim=True)
    softmax = (s - nearest).clamp_(max=0).exp_().mul_(negative)
    total = softmax.sum(1, keepdim=True).clamp_(min=1)  # the nearest adds 1, if there is one
    beyond = nearest + total.log() - s
    loss = (F.softplus(beyond) * positive).sum(1)
    lost = beyond.sigmoid_().mul_(positive)
    return loss, softmax.mul_(lost.sum(1, keepdim=True) / total).sub_(lost)


def _without_diagonal(positive: Tensor, first: int) -> None:
    """Take entry i from row i, in place; the rows begin with number ``first``."""
    rows = torch.arange(max(0, min(len(positive), positive.shape[1] - first)), device=positive.device)
    positive[rows, first + rows] = 0
