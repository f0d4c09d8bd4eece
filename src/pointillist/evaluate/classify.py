"""Pixel-wise classification scores, as the histology papers report them."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from pointillist.errors import InputError
from pointillist.evaluate.overlap import Confusion
from pointillist.types import AnyArray, Mask


def accuracy(counts: Confusion) -> float:
    """Share of voxels on which the masks agree, (TP + TN) / all; NaN where nothing was compared."""
    return (counts.tp + counts.tn) / counts.total if counts.total else float("nan")


def precision(counts: Confusion) -> float:
    """Share of predicted voxels that are right, TP / (TP + FP).

    1 where both masks are empty; NaN where only the prediction is, or nothing was compared.
    """
    if counts.n_pred:
        return counts.tp / counts.n_pred
    return 1.0 if counts.total and not counts.n_ref else float("nan")


def recall(counts: Confusion) -> float:
    """Share of the reference's voxels that were found, TP / (TP + FN).

    1 where both masks are empty; NaN where only the reference is, or nothing was compared.
    """
    if counts.n_ref:
        return counts.tp / counts.n_ref
    return 1.0 if counts.total and not counts.n_pred else float("nan")


def kappa(counts: Confusion) -> float:
    """Cohen's kappa: agreement beyond chance, (p_o − p_e) / (1 − p_e).

    1 where chance alone agrees on every voxel (both masks empty, or both full); NaN where nothing was compared.
    Source: Cohen 1960.
    """
    n = counts.total
    if n == 0:
        return float("nan")
    agreed = counts.tp + counts.tn
    by_chance = counts.n_pred * counts.n_ref + (n - counts.n_pred) * (n - counts.n_ref)
    return (agreed * n - by_chance) / (n * n - by_chance) if by_chance != n * n else 1.0


def auc(scores: AnyArray, reference: Mask) -> float:
    """Area under the ROC curve: the chance that a voxel inside scores higher than one outside, ties counting half.

    Args:
        scores: ``(*s)`` finite, larger = more likely inside.
        reference: ``(*s)``.

    Returns:
        0 … 1, or NaN where the reference is empty or full.

    Raises:
        InputError: if the shapes differ or a score is not finite.
    """
    if scores.shape != reference.shape or not np.isfinite(scores).all():
        raise InputError(
            "the area under the curve needs one finite score a voxel",
            where="scores",
            expected=f"finite scores of shape {reference.shape}",
            received=f"shape {scores.shape}, {int((~np.isfinite(scores)).sum())} not finite",
            todo="give each voxel of the reference its probability, without NaN or infinity",
        )
    inside = int(np.count_nonzero(reference))
    outside = reference.size - inside
    if not inside or not outside:
        return float("nan")
    ranks = rankdata(scores.ravel())[reference.ravel()]
    return float((ranks.sum() - inside * (inside + 1) / 2) / (inside * outside))
