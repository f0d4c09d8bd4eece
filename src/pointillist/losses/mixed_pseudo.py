"""Dynamically mixed pseudo labels: two predictions, mixed at random, teach each other."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.losses._inputs import check_scores
from pointillist.losses.partial_dice import partial_dice


@torch.no_grad()
def mixed_pseudo_label(first: Tensor, second: Tensor, alpha: float | Tensor) -> Tensor:
    r"""Hard label of the mixed prediction, ŷ = argmax_k (α P₁ + (1−α) P₂); no gradient passes.

    Args:
        first: ``(b, k, *s)`` probabilities P₁ of the main branch.
        second: ``(b, k, *s)`` probabilities P₂ of the auxiliary branch.
        alpha: α in [0, 1], one number a step, drawn uniformly by the caller; a tensor's value is not checked.

    Returns:
        ``(b, *s)`` classes as int64; the lower class where two are equal.

    Raises:
        ValueError: if the shapes differ or α is out of range.

    Source: Luo et al., MICCAI 2022 (DMPLS), as the authors' code.
    """
    check_scores(first, "first")
    if first.shape != second.shape:
        msg = f"both predictions must have one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(msg)
    if not isinstance(alpha, Tensor) and not 0 <= alpha <= 1:
        msg = f"alpha must lie in [0, 1], got {alpha}"
        raise ValueError(msg)
    return (alpha * first + (1 - alpha) * second).max(1).indices  # argmax takes eight times as long


def mixed_pseudo(first: Tensor, second: Tensor, alpha: float | Tensor) -> Tensor:
    r"""Dice of both predictions against their own mix.

    .. math:: L = \tfrac12 (Dice(P_1, ŷ) + Dice(P_2, ŷ)), \quad ŷ = \mathrm{argmax}_k (α P_1^k + (1-α) P_2^k)

    ŷ covers all pixels, labelled ones included, and takes no gradient. Dice is
    ``partial_dice``, dense. The published weight beside partial cross-entropy is 0.5.

    Args:
        first: ``(b, k, *s)`` probabilities P₁ of the main branch.
        second: ``(b, k, *s)`` probabilities P₂ of the auxiliary branch.
        alpha: α in [0, 1], one number a step, drawn uniformly by the caller.

    Returns:
        Scalar in [0, 1]; 0 for two equal one-hot predictions.

    Raises:
        ValueError: if the shapes differ or α is out of range.

    Source: Luo et al., MICCAI 2022 (DMPLS), as the authors' code.
    """
    label = mixed_pseudo_label(first, second, alpha)
    return (partial_dice(first, label) + partial_dice(second, label)) / 2
