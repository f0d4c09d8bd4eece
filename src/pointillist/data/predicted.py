"""Where ``pointillist predict`` puts what it finds in a dataset's training cases."""

from __future__ import annotations

from pathlib import Path


def label_file(predictions: Path, case: str, ending: str) -> Path:
    """The label file of a case.

    Args:
        predictions: folder of predictions.
        case: id.
        ending: of the dataset's images.
    """
    return predictions / f"{case}{'.nii.gz' if ending.startswith('.nii') else '.png'}"


def uncertainty_file(predictions: Path, case: str, ending: str) -> Path:
    """The map of uncertainty of a case; as ``label_file``."""
    return predictions / "uncertainty" / f"{case}{'.nii.gz' if ending.startswith('.nii') else '.tif'}"
