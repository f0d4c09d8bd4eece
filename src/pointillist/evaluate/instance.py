"""Metrics that count objects: one joint histogram of the two instance maps, never a loop over pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pointillist.errors import GeometryError
from pointillist.geometry.objects import ObjectRules, objects_of
from pointillist.types import AnyArray, InstanceMap, Mask

_PUBLISHED_OBJECTS = ObjectRules(min_area=64, max_hole=None)
_PUBLISHED_TINY = 20
_PUBLISHED_EPS = 1e-4

Ints = NDArray[np.int64]


class Objects(NamedTuple):
    """Two instance maps, reduced to their joint histogram.

    Attributes:
        ref_ids: ``(n,)`` ids of the reference's objects, ascending.
        ref_area: ``(n,)`` their pixels.
        pred_area: ``(m,)`` pixels of the prediction's objects, by ascending id.
        ref: ``(p,)`` index of the reference's object in each overlapping pair.
        pred: ``(p,)`` index of the predicted object; pairs ascend by reference, then by prediction.
        shared: ``(p,)`` pixels in common.
    """

    ref_ids: Ints
    ref_area: Ints
    pred_area: Ints
    ref: Ints
    pred: Ints
    shared: Ints


def match_objects(prediction: AnyArray, reference: AnyArray) -> Objects:
    """Count which objects share how many pixels.

    Args:
        prediction: ``(*s)`` instance ids below 2³¹, 0 = background.
        reference: ``(*s)`` likewise.

    Raises:
        GeometryError: if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise GeometryError(
            "instance maps can only be compared on one grid",
            where="prediction, reference",
            expected=reference.shape,
            received=prediction.shape,
            todo="resample the prediction onto the reference's grid, labels by nearest neighbour",
        )
    codes = (reference.astype(np.int64) << 32) | prediction.astype(np.int64)
    pairs, shared = np.unique(codes[codes != 0], return_counts=True)
    ref_id, pred_id = pairs >> 32, pairs & 0xFFFFFFFF
    ref_ids, ref_area, ref = _tally(ref_id, shared)
    _, pred_area, pred = _tally(pred_id, shared)
    both = (ref_id > 0) & (pred_id > 0)
    return Objects(ref_ids, ref_area, pred_area, ref[both], pred[both], shared[both])


def mdice_strict(prediction: AnyArray, reference: AnyArray, *, min_area: int = 20) -> float:
    """Mean Dice over the reference's objects; an object that was missed counts 0, wherever it lies.

    Every object is compared with the predicted one that covers most of it (the lower id on a tie); one predicted
    object may serve several. Predicted objects that meet none cost nothing here: ``aji`` counts those.

    Args:
        prediction: ``(*s)`` instance ids, 0 = background.
        reference: ``(*s)`` likewise.
        min_area: smaller objects of the reference are left out.

    Returns:
        0 … 1; without any reference object 1 if nothing was predicted, else 0; NaN where all objects of the
        reference are smaller than ``min_area``.

    Raises:
        GeometryError: if the shapes differ.
    """
    objects = match_objects(prediction, reference)
    if not objects.ref_area.size:
        return float(objects.pred_area.size == 0)
    counted = objects.ref_area >= min_area
    if not counted.any():
        return float("nan")
    shared, matched = _most_covered(objects)
    return float((2 * shared / (objects.ref_area + matched))[counted].mean())


def published_instances(mask: Mask) -> InstanceMap:
    """Split a predicted mask into objects as Scribble2Label's published evaluation does.

    8-connected components; those under 64 pixels dropped; holes filled; components again.

    Args:
        mask: ``(h, w)``.

    Returns:
        ``(h, w)`` ids 1 … n.
    """
    return objects_of(mask, _PUBLISHED_OBJECTS)[0]


def mdice_published(prediction: AnyArray, reference: AnyArray) -> float:
    """Mean Dice over objects exactly as published with Scribble2Label, its generous cases included.

    Reference ids are visited from 1 to the largest. A gap, and an object under 20 pixels, scores 1. The first id
    without a match (gaps and tiny objects count as such) removes every object that touches the image's border from
    then on, and each of those scores 1 too. An object inside without a match scores almost 0. Predicted objects that
    meet none cost nothing. Compare ``mdice_strict``.

    Args:
        prediction: ``(h, w)`` instance ids; the published code makes them with ``published_instances``.
        reference: ``(h, w)`` instance ids.

    Returns:
        0 … 1; 0 without any reference object, as the published code has it.

    Raises:
        GeometryError: if the shapes differ.

    Source: hvcl/scribble2label, scripts/metric_mdice.py; Oh et al. 2022.
    """
    objects = match_objects(prediction, reference)
    ids, area = objects.ref_ids, objects.ref_area
    if not ids.size:
        return 0.0
    last = int(ids[-1])
    shared, matched = _most_covered(objects)
    scores = (2 * shared + _PUBLISHED_EPS) / (area + matched + _PUBLISHED_EPS)
    tiny = area < _PUBLISHED_TINY
    first_failure = min(_first_gap(ids), int(min(ids[tiny | (shared == 0)], default=last + 1)))
    at_border = np.isin(ids, _border_values(reference))
    scores[tiny | (at_border & (ids >= first_failure))] = 1.0
    gaps = last - ids.size
    return float((scores.sum() + gaps) / last)


def aji(prediction: AnyArray, reference: AnyArray) -> float:
    """Aggregated Jaccard index: shared pixels of all matches over their unions plus everything unmatched.

    Every object of the reference is matched with the predicted one of largest Jaccard index (the lower id on a tie);
    predicted objects that no one chose count in full.

    Args:
        prediction: ``(*s)`` instance ids, 0 = background.
        reference: ``(*s)`` likewise.

    Returns:
        0 … 1; 1 where both maps are empty.

    Raises:
        GeometryError: if the shapes differ.

    Source: Kumar et al. 2017, algorithm 1.
    """
    objects = match_objects(prediction, reference)
    ref, pred, shared = objects.ref, objects.pred, objects.shared
    union = objects.ref_area[ref] + objects.pred_area[pred] - shared
    best = _best_pairs(ref, shared / union)
    missed = np.delete(objects.ref_area, ref[best]).sum()
    unused = np.delete(objects.pred_area, np.unique(pred[best])).sum()
    whole = int(union[best].sum() + missed + unused)
    return float(shared[best].sum() / whole) if whole else 1.0


def _tally(ids: Ints, counts: Ints) -> tuple[Ints, Ints, Ints]:
    """Distinct non-zero ids, their summed counts, and each entry's index among them (-1 for id 0)."""
    distinct, index = np.unique(ids, return_inverse=True)
    totals = np.bincount(index, weights=counts).astype(np.int64)
    background = int(distinct.size > 0 and distinct[0] == 0)
    return distinct[background:], totals[background:], index - background


def _best_pairs(ref: Ints, merit: NDArray[Any]) -> Ints:
    """For each reference object that has pairs, the index of the pair of largest merit; the first on a tie."""
    order = np.lexsort((-merit, ref))
    _, first = np.unique(ref[order], return_index=True)
    best: Ints = order[first]
    return best


def _most_covered(objects: Objects) -> tuple[Ints, Ints]:
    """Per reference object: pixels shared with the predicted object that covers most of it, and that one's area."""
    best = _best_pairs(objects.ref, objects.shared)
    shared, matched = np.zeros_like(objects.ref_area), np.zeros_like(objects.ref_area)
    shared[objects.ref[best]] = objects.shared[best]
    matched[objects.ref[best]] = objects.pred_area[objects.pred[best]]
    return shared, matched


def _first_gap(ids: Ints) -> int:
    """The smallest number from 1 that is no id; one past the largest where there is no gap."""
    return int(np.count_nonzero(ids == np.arange(1, ids.size + 1))) + 1


def _border_values(reference: AnyArray) -> AnyArray:
    return np.concatenate([reference[0], reference[-1], reference[:, 0], reference[:, -1]])
