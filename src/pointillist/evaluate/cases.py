"""Every metric of every class of one case."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pointillist.data.image import Image
from pointillist.evaluate import classify, overlap, surface
from pointillist.evaluate.classes import Classes, check_labels
from pointillist.evaluate.overlap import Confusion
from pointillist.evaluate.pooled import CaseCounts
from pointillist.evaluate.protocol import LengthUnit, Protocol
from pointillist.evaluate.scores import auc_of, read_probabilities, score_counts
from pointillist.evaluate.table import Row, make_row
from pointillist.geometry.distance import SurfaceDistances, surface_distances
from pointillist.types import AnyArray


@dataclass(frozen=True)
class ClassPair:
    """Everything that the metrics of one class in one case are made of.

    Attributes:
        counts: voxels.
        distances: of the surfaces, or None where the reference has unlabelled voxels.
        diagonal: of the volume.
        unit: of distances and diagonal.
    """

    counts: Confusion
    distances: SurfaceDistances | None
    diagonal: float
    unit: LengthUnit


def case_rows(case: str, prediction: Image, reference: Image, classes: Classes, protocol: Protocol) -> list[Row]:
    """Every metric of every class of one case.

    A volume of a single slice is measured as the 2-D image that it is: along an axis of length 1 there is no surface.

    Args:
        case: its name.
        prediction: ``(*s)`` labels.
        reference: ``(*s)`` labels on the same grid; the classes' ignore value marks unlabelled voxels.
        classes: to evaluate.
        protocol: what to compute.

    Raises:
        LabelError: if a value belongs to no class.
    """
    check_labels(prediction.array, classes, prediction.where, may_ignore=False)
    check_labels(reference.array, classes, reference.where, may_ignore=True)
    spacing, unit = protocol.spacing(reference.grid)
    diagonal = surface.volume_diagonal(reference.grid.shape, spacing)
    whole = classes.ignore is None or not (reference.array == classes.ignore).any()
    counts = overlap.confusions(prediction.array, reference.array, classes.names, classes.ignore)
    rows: list[Row] = []
    distances = class_distances(prediction.array, reference.array, classes.names, spacing) if whole else {}
    for value, name in classes.names.items():
        rows += class_rows(case, name, ClassPair(counts[value], distances.get(value), diagonal, unit), protocol)
    return rows


def class_distances(
    prediction: AnyArray, reference: AnyArray, labels: Iterable[int], spacing: Sequence[float]
) -> dict[int, SurfaceDistances]:
    """Surface distances of every class; a volume of a single slice is measured as the 2-D image that it is.

    Args:
        prediction: ``(*s)`` labels.
        reference: ``(*s)`` labels on the same grid, none of them unlabelled.
        labels: the classes.
        spacing: between voxel centres along each axis.
    """
    thin = tuple(axis for axis, size in enumerate(reference.shape) if size == 1)[: len(spacing) - 2]
    predicted, truth = prediction.squeeze(thin), reference.squeeze(thin)
    extended = [step for axis, step in enumerate(spacing) if axis not in thin]
    return {value: surface_distances(predicted == value, truth == value, extended) for value in labels}


def case_counts(prediction: Image, reference: Image, classes: Classes, probabilities: Path | None) -> CaseCounts:
    """What a case adds to the metrics that are pooled over all cases.

    Args:
        prediction: ``(*s)`` labels.
        reference: ``(*s)`` labels on the same grid.
        classes: to evaluate.
        probabilities: the case's file, if there is one.

    Raises:
        DamagedFileError, GeometryError: as ``pointillist.evaluate.scores.read_probabilities``.
    """
    counts = overlap.confusions(prediction.array, reference.array, classes.names, classes.ignore)
    by_name = {name: counts[value] for value, name in classes.names.items()}
    if probabilities is None or not classes.names:
        return CaseCounts(by_name)
    scores = score_counts(read_probabilities(probabilities, reference), reference.array, classes, str(probabilities))
    return CaseCounts(by_name, {name: scores[value] for value, name in classes.names.items()})


def auc_rows(case: str, counts: CaseCounts) -> list[Row]:
    """The area under the ROC curve of every class of one case, if it has probabilities."""
    return [
        make_row(
            case, cls, "auc", float(auc_of(*scores)), "1",
            (counts.counts[cls].n_ref, counts.counts[cls].n_pred), "the reference is empty or full",
        )
        for cls, scores in (counts.scores or {}).items()
    ]  # fmt: skip


def class_rows(case: str, cls: str, pair: ClassPair, protocol: Protocol) -> list[Row]:
    """Every metric of one class in one case."""
    counts, unit = pair.counts, pair.unit
    sizes = counts.n_ref, counts.n_pred
    reason = _why_undefined(counts)
    rows = [
        make_row(case, cls, metric.__name__, metric(counts), "1", sizes, reason)
        for metric in (overlap.dsc, overlap.iou, classify.accuracy, classify.precision, classify.recall, classify.kappa)
    ]
    lengths: dict[str, Callable[[SurfaceDistances], float]] = {
        "hd95_pooled": surface.hd95_pooled,
        "hd95_pooled_bounded": lambda d: surface.hd95_pooled_bounded(d, pair.diagonal),
        "hd95_max": surface.hd95_max,
        "assd_pooled": surface.assd_pooled,
        "assd_directed_mean": surface.assd_directed_mean,
    }
    distances = pair.distances
    if distances is None:
        reason = "the reference has unlabelled voxels"

    def measure(metric: Callable[[SurfaceDistances], float]) -> float:
        return float("nan") if distances is None else metric(distances)

    rows += [make_row(case, cls, name, measure(metric), unit, sizes, reason) for name, metric in lengths.items()]
    agreement = measure(lambda d: surface.nsd(d, protocol.nsd_tolerance))
    rows.append(make_row(case, cls, protocol.nsd_name(unit), agreement, "1", sizes, reason))
    return rows + _published_rows(case, cls, pair, protocol)


def _published_rows(case: str, cls: str, pair: ClassPair, protocol: Protocol) -> list[Row]:
    rule, counts = protocol.rule, pair.counts
    if rule is None or pair.distances is None:
        return []
    sizes = counts.n_ref, counts.n_pred
    scores = rule.scores(counts, pair.distances)
    reason = "the published code stops with an error"
    return [
        make_row(case, cls, f"dsc_as_{protocol.published}", scores.dsc, "1", sizes, reason),
        make_row(case, cls, f"hd95_as_{protocol.published}", scores.hd95, pair.unit, sizes, reason),
    ]


def _why_undefined(counts: Confusion) -> str:
    if counts.total == 0:
        return "the reference has no labelled voxel"
    return "the prediction is empty" if counts.n_pred == 0 else "the reference is empty"
