"""Contrast of all pairs of vectors, each pair with a sigmoid of its own."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pointillist.losses._inputs import full_precision
from pointillist.types import IGNORE

_PAIRS_AT_ONCE = 2**20  # rows of the table of pairs are taken in groups of about so many pairs
_TINY = 1e-6  # least length of a vector


def sigmoid_contrast(
    vectors: Tensor,
    label: Tensor,
    *,
    tau: float = 0.3,
    reduction: Literal["blocks", "pairs"] = "blocks",
) -> Tensor:
    r"""Binary cross-entropy of every pair: is it of one class?

    .. math:: L = \frac{2}{C} \sum_a \operatorname{mean}_{i ≠ j ∈ a} \log(1 + e^{-s_{ij}})
              + \frac{2}{C (C-1)} \sum_{a < b} \operatorname{mean}_{i ∈ a, j ∈ b} \log(1 + e^{s_{ij}}), \quad
              s_{ij} = \frac{⟨z_i, z_j⟩}{τ \|z_i\| \|z_j\|}

    over the C classes that are present. Each block of pairs counts as a whole, so a frequent class weighs no more than
    a rare one; of two classes the three blocks' means are added. At best, with opposite classes, it is
    3 log(1 + exp(−1/τ)); orthogonal ones cost log 2 a pair.

    The table of pairs is never whole in memory, and half of it is never computed: the gradient is summed in the same
    sweep, a group of rows at a time. A vector's pair with itself is taken out of its class's block in closed form.

    Args:
        vectors: ``(n, d)`` z.
        label: ``(n,)`` their classes; those of ``IGNORE`` are not read.
        tau: temperature τ.
        reduction: ``"blocks"``, as above; ``"pairs"``, the mean over all n² pairs, those of a vector with itself
            included, which the paper's equation has.

    Returns:
        Scalar; 0, connected to the graph, where fewer than two classes have vectors. The block of a class with one
        vector is 0.

    Raises:
        ValueError: if shapes disagree, τ is not positive, or the reduction is unknown.
        RuntimeError: in the backward pass under ``create_graph``: there is no second derivative.

    Source: Oh et al., ISBI 2022, equation 4; hvcl/ScribbleCont ``scripts/contrastive_loss.py``. The paper's target
    "∧, logical or" would push background from background; the code's is "of one class". The code adds the means of
    three blocks, the paper divides by the number of all pairs. More than two classes are our reading.
    """
    if vectors.ndim != 2 or label.shape != vectors.shape[:1]:
        msg = f"vectors (n, d) need one class each, (n,), got {tuple(vectors.shape)} and {tuple(label.shape)}"
        raise ValueError(msg)
    if not tau > 0:
        msg = f"tau must be positive, got {tau}"
        raise ValueError(msg)
    if reduction not in ("blocks", "pairs"):
        msg = f"reduction must be 'blocks' or 'pairs', got {reduction!r}"
        raise ValueError(msg)
    known = (label != IGNORE).nonzero()[:, 0]
    known = known[label[known].argsort(stable=True)]
    sizes = [count for count in label[known].bincount().tolist() if count]
    z = full_precision(vectors[known])
    if len(sizes) < 2:
        return z.sum() * 0
    unit = F.normalize(z, dim=1, eps=_TINY)
    total: Tensor = _PairSum.apply(unit, sizes, tau, reduction == "blocks")  # type: ignore[no-untyped-call]
    return total


class _PairSum(torch.autograd.Function):
    """The weighted sum over pairs of unit vectors that are sorted by class, with its gradient.

    Rows of one class meet all columns from themselves on: their own class, then the later ones. An entry that stands
    for a pair and its mirror image weighs twice.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, sizes: list[int], tau: float, balanced: bool) -> Tensor:
        gradient, total = torch.zeros_like(z), z.new_zeros(())
        begin = 0
        with torch.autocast(z.device.type, enabled=False):  # it would multiply matrices in half precision
            for number, size in enumerate(sizes):
                same, cross = _weights(sizes, number, balanced=balanced)
                lengths = torch.tensor(sizes[number:], device=z.device)
                slope = z.new_tensor([-1 / tau, *(1 / tau for _ in cross)]).repeat_interleave(lengths)
                weight = z.new_tensor([2 * same, *cross]).repeat_interleave(lengths)
                total += _rows(z[begin:], size, slope, weight, gradient[begin:])
                if balanced:
                    total -= same * _diagonal(z[begin : begin + size], tau)
                begin += size
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # under create_graph; the gradient would pass for a constant
            msg = "sigmoid_contrast has no second derivative; differentiate it without create_graph"
            raise RuntimeError(msg)
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None


def _weights(sizes: list[int], number: int, *, balanced: bool) -> tuple[float, list[float]]:
    """Of an ordered pair within a class, and of an unordered pair with each later class."""
    if not balanced:
        share = sum(sizes) ** -2
        return share, [2 * share for _ in sizes[number + 1 :]]
    size, classes = sizes[number], len(sizes)
    same = 2 / classes / (size * (size - 1)) if size > 1 else 0.0
    return same, [2 / (classes * (classes - 1)) / (size * other) for other in sizes[number + 1 :]]


def _rows(z: Tensor, size: int, slope: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    """Sum of weight · log(1 + exp(slope · ⟨z_i, z_j⟩)) for i below ``size`` and j from i's group on.

    Args:
        z: ``(n, d)`` unit vectors, the rows' class first.
        size: of that class.
        slope: ``(n,)`` of the columns.
        weight: ``(n,)`` of the columns, twice that of an ordered pair.
        gradient: ``(n, d)``, added to in place.
    """
    total = z.new_zeros(())
    # what belongs to columns is multiplied once, before all groups or after them
    columns, weighted = (z * slope[:, None]).T.contiguous(), z * (slope * weight)[:, None]
    of_columns = z.new_zeros(columns.shape)
    group = max(1, _PAIRS_AT_ONCE // len(z))
    for start in range(0, size, group):
        rows = z[start : min(start + group, size)]
        count = len(rows)
        x = rows @ columns[:, start:]
        cost = F.softplus(x)
        wrong = x.sigmoid_()
        for pairs in (cost, wrong):
            pairs[:, :count] /= 2  # within the group both orders of a pair are there
        total += (cost @ weight[start:]).sum()
        gradient[start : start + count].addmm_(wrong, weighted[start:])
        of_columns[:, start:].addmm_(rows.T, wrong)
    gradient += of_columns.T * (slope * weight)[:, None]
    return total


def _diagonal(z: Tensor, tau: float) -> Tensor:
    """What the pairs of vectors with themselves cost.

    Their gradient lies along the vectors, where the normalisation to unit length takes it out.
    """
    return F.softplus(z.square().sum(1) / -tau).sum()
