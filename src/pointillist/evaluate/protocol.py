"""What an evaluation is asked to compute, and the definition of every metric it reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pointillist.data.image import Grid
from pointillist.errors import InputError
from pointillist.evaluate.published import PublishedRule, published_rule

LengthUnit = Literal["mm", "voxel"]

SURFACE = (
    "voxels of a mask that touch another label or the image's edge through a face (an edge of the pixel in 2-D and in "
    "volumes of one slice); distances are between voxel centres"
)
_EMPTY = "0 where both masks are empty, undefined where one is"
DEFINITIONS = {
    "dsc": "Dice coefficient 2TP/(2TP+FP+FN) over the whole image or volume; 1 where both masks are empty",
    "iou": "intersection over union TP/(TP+FP+FN); 1 where both masks are empty",
    "accuracy": "share of voxels on which class and rest agree",
    "precision": "TP/(TP+FP); 1 where both masks are empty, undefined where only the prediction is",
    "recall": "TP/(TP+FN); 1 where both masks are empty, undefined where only the reference is",
    "kappa": "Cohen's kappa of class against rest",
    "auc": "area under the ROC curve of the class's probability (in half precision), class against rest, ties "
    "counting half; undefined where the reference is empty or full",
    "hd95_pooled": f"95th percentile of both directed surface-distance sets together (medpy); {_EMPTY}",
    "hd95_pooled_bounded": "hd95_pooled, with the volume's diagonal √Σ(voxels·spacing)² where one mask is empty",
    "hd95_max": f"larger of the two directed 95th percentiles (MONAI, Metrics Reloaded); {_EMPTY}",
    "assd_pooled": f"mean of both directed surface-distance sets together (medpy from 0.5 on); {_EMPTY}",
    "assd_directed_mean": f"mean of the two directed mean surface distances; {_EMPTY}",
    "mdice_strict": "mean Dice over reference objects of 20 pixels or more, each against the predicted object that "
    "covers most of it; a missed object counts 0",
    "mdice_published": "mean Dice over reference ids as Scribble2Label's code computes it: tiny objects, gaps between "
    "ids and, after a miss, objects at the border count 1",
    "aji": "aggregated Jaccard index (Kumar et al. 2017)",
}


@dataclass(frozen=True)
class Protocol:
    """How to evaluate.

    Attributes:
        unit: of distances; ``mm`` falls back to voxels for an image without physical size, and the rows say so.
        nsd_tolerance: of the normalised surface distance, in that unit.
        published: name of a public code whose treatment of empty masks is repeated in extra rows, or None.

    Raises:
        InputError: if the tolerance is no length, or the name is unknown.
    """

    unit: LengthUnit = "mm"
    nsd_tolerance: float = 2.0
    published: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in ("mm", "voxel"):
            raise InputError(
                "distances have another unit",
                where="--unit",
                expected="mm or voxel",
                received=self.unit,
                todo="choose one of these",
            )
        if not (np.isfinite(self.nsd_tolerance) and self.nsd_tolerance >= 0):
            raise InputError(
                "the tolerance of the surface distance must be a length",
                where="--nsd-tolerance",
                expected="≥ 0",
                received=self.nsd_tolerance,
                todo="give a length in the unit of --unit, for example 2",
            )
        if self.published is not None:
            published_rule(self.published)

    @property
    def rule(self) -> PublishedRule | None:
        """The rule that ``published`` names."""
        return None if self.published is None else published_rule(self.published)

    def spacing(self, grid: Grid) -> tuple[tuple[float, ...], LengthUnit]:
        """Spacing of a grid and the unit it is in."""
        if self.unit == "voxel" or grid.spacing_mm is None:
            return (1.0,) * len(grid.shape), "voxel"
        return grid.spacing_mm, "mm"

    def nsd_name(self, unit: LengthUnit) -> str:
        """Name of the normalised surface distance, its tolerance included: ``nsd_2mm``."""
        return f"nsd_{self.nsd_tolerance:g}{unit}"

    def definition(self, metric: str) -> str:
        """What a reported metric means."""
        if metric.startswith("pooled_"):
            return f"over all voxels of all cases together: {self.definition(metric.removeprefix('pooled_'))}"
        if metric.startswith("nsd_"):
            return (
                f"share of both surfaces' voxels within {metric.removeprefix('nsd_')} of the other surface (MONAI, "
                "no subvoxels); 1 where both masks are empty, 0 where one is"
            )
        if self.rule is not None and metric.endswith(f"_as_{self.published}"):
            return (
                f"dsc, or {self.rule.hd95.__name__}, with empty masks scored as {self.published} does "
                f"({self.rule.source}); undefined where that code stops with an error"
            )
        return DEFINITIONS[metric]
