"""Where predictions are, as they were written and decoded."""

from __future__ import annotations

from pathlib import Path

from pointillist.app.places import key_of
from pointillist.data.predicted import label_file, uncertainty_file

CLASSES, UNCERTAINTY = "classes", "uncertainty"


def source_of(predictions: Path, case: str, ending: str, what: str) -> Path:
    """The file that ``pointillist predict`` wrote."""
    return (label_file if what == CLASSES else uncertainty_file)(predictions, case, ending)


def overlay_path(run: Path, case: str, source: Path, what: str) -> Path:
    """Where a decoded prediction is, or would be."""
    return run / "app" / f"{case}.{what}.{key_of(source)}.image"
