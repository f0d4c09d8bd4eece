"""Overlap of one class: counts of voxels, and the ratios made of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pointillist.errors import GeometryError
from pointillist.types import AnyArray, Mask


class Confusion(NamedTuple):
    """Voxels of one class against all others: true and false positives, false and true negatives."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def n_pred(self) -> int:
        """Voxels that the prediction gives the class."""
        return self.tp + self.fp

    @property
    def n_ref(self) -> int:
        """Voxels that the reference gives the class."""
        return self.tp + self.fn

    @property
    def total(self) -> int:
        """All voxels that were compared."""
        return self.tp + self.fp + self.fn + self.tn


def confusion(prediction: Mask, reference: Mask) -> Confusion:
    """Count the voxels of two masks.

    Args:
        prediction: ``(*s)``.
        reference: ``(*s)``.

    Raises:
        GeometryError: if the shapes differ.
    """
    return confusions(prediction, reference, [1])[1]


def confusions(
    prediction: AnyArray, reference: AnyArray, labels: Iterable[int], ignore: int | None = None
) -> dict[int, Confusion]:
    """Count the voxels of every class with one joint histogram.

    Args:
        prediction: ``(*s)`` labels, 0 … 255 or thereabouts; none may be negative.
        reference: ``(*s)`` labels likewise.
        labels: the classes to count.
        ignore: reference value whose voxels are left out on both sides.

    Returns:
        Counts by class.

    Raises:
        GeometryError: if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise GeometryError(
            "masks can only be compared on one grid",
            where="prediction, reference",
            expected=reference.shape,
            received=prediction.shape,
            todo="resample the prediction onto the reference's grid, labels by nearest neighbour",
        )
    wanted = list(labels)
    size = 1 + max(int(prediction.max()), int(reference.max()), *wanted, 0 if ignore is None else ignore)
    codes = reference.astype(np.intp).ravel() * size + prediction.ravel()
    joint = np.bincount(codes, minlength=size * size).reshape(size, size)
    if ignore is not None:
        joint[ignore] = 0
    total, n_ref, n_pred = int(joint.sum()), joint.sum(axis=1), joint.sum(axis=0)

    def counts(label: int) -> Confusion:
        tp = int(joint[label, label])
        fp, fn = int(n_pred[label]) - tp, int(n_ref[label]) - tp
        return Confusion(tp, fp, fn, total - tp - fp - fn)

    return {label: counts(label) for label in wanted}


def dsc(counts: Confusion) -> float:
    """Dice similarity coefficient 2·TP / (2·TP + FP + FN); 1 where both masks are empty.

    Source: Dice 1945; equal to medpy's ``dc`` except for two empty masks, which medpy gives 0.
    """
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn, counts)


def iou(counts: Confusion) -> float:
    """Intersection over union TP / (TP + FP + FN); 1 where both masks are empty. Source: Jaccard 1912."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn, counts)


def _ratio(part: int, whole: int, counts: Confusion) -> float:
    if counts.total == 0:
        return float("nan")
    return part / whole if whole else 1.0
