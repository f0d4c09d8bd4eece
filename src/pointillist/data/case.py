"""One case of a dataset: where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """The files of one case. Nothing is read until the dataset is asked for it.

    Attributes:
        id: name, unique in the dataset.
        images: one file a channel, or a single colour file.
        sparse: label file with unmarked pixels = ignore (labelsTr); None for held-out cases.
        dense: dense truth if there is one (denseTr or labelsTs). Only ``evaluate``, ``simulate`` and the ``full``
            bound may read that of training cases.
        instances: instance numbers of the dense truth, if there are any.
        marks: where the strokes are, or would be.
        base: the label map that was imported as a raster, under the strokes; may not exist.
        group: patient or slide; folds never part it.
    """

    id: str
    images: tuple[Path, ...]
    sparse: Path | None
    dense: Path | None
    instances: Path | None
    marks: Path
    base: Path
    group: str
