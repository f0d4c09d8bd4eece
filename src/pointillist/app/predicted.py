"""In the worker: predictions decoded into the files that ``planes`` reads, in the folder of their run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pointillist.app.pictures import key_of, write_planes
from pointillist.app.planes import Planes
from pointillist.data.dataset import Dataset
from pointillist.data.predicted import label_file, uncertainty_file
from pointillist.data.readers import read_image, read_label

CLASSES, UNCERTAINTY = "classes", "uncertainty"


def source_of(predictions: Path, case: str, ending: str, what: str) -> Path:
    """The file that ``pointillist predict`` wrote."""
    return (label_file if what == CLASSES else uncertainty_file)(predictions, case, ending)


def overlay_path(run: Path, case: str, source: Path, what: str) -> Path:
    """Where a decoded prediction is, or would be."""
    return run / "app" / f"{case}.{what}.{key_of(source)}.image"


def prepare_overlay(dataset: Dataset, *, run: str, predictions: str, case: str, what: str) -> None:
    """Decode a prediction; one that it replaces goes."""
    source = source_of(Path(predictions), case, dataset.ending, what)
    target = overlay_path(Path(run), case, source, what)
    if Planes.read(target) is not None:
        return
    image = (read_label if what == CLASSES else read_image)(source)
    array = image.array if what == CLASSES else np.round(image.array * 255)
    axis = image.grid.slice_axis if len(image.grid.shape) == 3 else None
    if target.parent.is_dir():
        for old in target.parent.iterdir():
            if old.name.startswith(f"{case}.{what}.") and len(old.name.split(".")) == len(target.name.split(".")):
                old.unlink()
    write_planes(target, array.astype(np.uint8), image.grid.shape, axis, colour=False, labels=what == CLASSES)
