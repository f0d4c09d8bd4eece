"""The same predictions under several public codes' rules: how much of a figure is protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from pointillist.data.image import Image, same_grid
from pointillist.data.readers import read_label
from pointillist.errors import LabelError
from pointillist.evaluate.cases import class_distances
from pointillist.evaluate.classes import Classes, check_labels
from pointillist.evaluate.folders import Pair
from pointillist.evaluate.overlap import confusions
from pointillist.evaluate.protocol import Protocol
from pointillist.evaluate.published import PublishedRule, Scores
from pointillist.types import AnyArray


@dataclass(frozen=True)
class UnderRule:
    """A set of predictions as one code scores it.

    Attributes:
        dsc: mean over cases of each class, then over classes; None where nothing is defined.
        hd95: likewise, in ``unit``.
        unit: of the distances.
        empty: pairs of case and class in which one mask is empty, or both: the rule decides them.
        undefined: pairs without a distance, by the rule or because the code stops with an error.
        pairs: all of them.
    """

    dsc: float | None
    hd95: float | None
    unit: Literal["mm", "voxel"]
    empty: int
    undefined: int
    pairs: int


def under_rules(pairs: Iterable[Pair], classes: Classes, rules: Mapping[str, PublishedRule]) -> dict[str, UnderRule]:
    """Score predictions under several rules; each case is read once.

    Args:
        pairs: from ``pointillist.evaluate.folders.pair_files``.
        classes: to score.
        rules: by name.

    Raises:
        LabelError: if a reference has unlabelled voxels, or a file values that no class has.
        GeometryError: if prediction and reference lie on different grids.
        DamagedFileError: if a file cannot be read.
    """
    found: dict[str, dict[str, list[Scores]]] = {name: {cls: [] for cls in classes.names.values()} for name in rules}
    empty, units = dict.fromkeys(rules, 0), {}
    for pair in pairs:
        predicted, truth = read_label(pair.prediction), read_label(pair.reference)
        same_grid(truth, predicted)
        check_labels(predicted.array, classes, predicted.where, may_ignore=False)
        _check_whole(truth, classes)
        for (unit, border), names in _alike(rules).items():
            array = cleared(predicted.array, truth, border)
            spacing, true_unit = Protocol(unit).spacing(truth.grid)
            counts = confusions(array, truth.array, classes.names)
            distances = class_distances(array, truth.array, classes.names, spacing)
            for name in names:
                units[name] = true_unit
                for value, cls in classes.names.items():
                    found[name][cls].append(rules[name].scores(counts[value], distances[value]))
                    empty[name] += not (counts[value].n_pred and counts[value].n_ref)
    return {name: _summed(found[name], units.get(name, rules[name].unit), empty[name]) for name in rules}


def cleared(labels: AnyArray, grid: Image, share: float) -> AnyArray:
    """Make background of a share of the columns at either end of every slice.

    Args:
        labels: ``(*s)``.
        grid: an image on the same grid.
        share: of the columns, as ``pointillist.predict.predictor.Predictor`` has it.
    """
    if not share:
        return labels
    kept = labels.copy()
    planes = kept[None] if kept.ndim == 2 else np.moveaxis(kept, grid.grid.slice_axis, 0)
    width = round(share * planes.shape[-1])
    planes[..., :width] = 0
    planes[..., planes.shape[-1] - width :] = 0
    return kept


def _alike(rules: Mapping[str, PublishedRule]) -> dict[tuple[Literal["mm", "voxel"], float], list[str]]:
    """Rules by unit and border: those of a group share their distances."""
    groups: dict[tuple[Literal["mm", "voxel"], float], list[str]] = {}
    for name, rule in rules.items():
        groups.setdefault((rule.unit, rule.border), []).append(name)
    return groups


def _check_whole(truth: Image, classes: Classes) -> None:
    check_labels(truth.array, classes, truth.where, may_ignore=True)
    if classes.ignore is not None and (truth.array == classes.ignore).any():
        raise LabelError(
            "the rules of public codes need dense truth",
            where=truth.where,
            expected="a class for every voxel",
            received="unlabelled voxels",
            todo="name the folder of the dense references",
        )


def _summed(by_class: Mapping[str, Sequence[Scores]], unit: Literal["mm", "voxel"], empty: int) -> UnderRule:
    every = [scores for found in by_class.values() for scores in found]
    means: list[float | None] = []
    for field in Scores._fields:
        of_classes = [
            fmean(values)
            for found in by_class.values()
            if (values := [value for scores in found if not np.isnan(value := getattr(scores, field))])
        ]
        means.append(fmean(of_classes) if of_classes else None)
    undefined = sum(bool(np.isnan(scores.hd95)) for scores in every)
    return UnderRule(means[0], means[1], unit, empty, undefined, len(every))
