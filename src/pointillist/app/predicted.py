"""In the worker: predictions decoded into the files that ``planes`` reads, in the folder of their run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pointillist.app.overlay_files import CLASSES, overlay_path, source_of
from pointillist.app.pictures import write_planes
from pointillist.app.planes import Planes
from pointillist.data.dataset import Dataset
from pointillist.data.readers import read_image, read_label


def prepare_overlay(dataset: Dataset, *, run: str, predictions: str, case: str, what: str) -> None:
    """Decode a prediction; one that it replaces goes."""
    source = source_of(Path(predictions), case, dataset.ending, what)
    target = overlay_path(Path(run), case, source, what)
    if Planes.read(target) is not None:
        return
    image = (read_label if what == CLASSES else read_image)(source)
    array = image.array if what == CLASSES else np.round(image.array * 255)
    if target.parent.is_dir():
        for old in target.parent.iterdir():
            if old.name.startswith(f"{case}.{what}.") and len(old.name.split(".")) == len(target.name.split(".")):
                old.unlink()
    write_planes(target, array.astype(np.uint8), image.grid, colour=False, labels=what == CLASSES)
