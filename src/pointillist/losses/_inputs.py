"""What every loss asks of its inputs: shapes that agree, classes that exist, enough precision."""

from __future__ import annotations

import torch
from torch import Tensor

from pointillist.types import IGNORE


def full_precision(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is in float64: losses keep this precision inside autocast."""
    return x if x.dtype == torch.float64 else x.float()


def check_scores(scores: Tensor, name: str) -> None:
    """Ask for a floating ``(b, k, *s)``.

    Raises:
        ValueError: if it has fewer than 3 dimensions or holds integers.
    """
    if scores.ndim < 3 or not scores.is_floating_point():
        msg = f"{name} must be a floating tensor (batch, classes, *space), got {scores.dtype} {tuple(scores.shape)}"
        raise ValueError(msg)


def check_one_grid(probabilities: Tensor, image: Tensor) -> None:
    """Ask for a floating ``(b, k, *s)`` and a floating ``(b, c, *s)``.

    Raises:
        ValueError: if either is something else, or their batches or grids differ.
    """
    check_scores(probabilities, "probabilities")
    check_scores(image, "image")
    grids = [(x.shape[0], *x.shape[2:]) for x in (probabilities, image)]
    if grids[0] != grids[1]:
        msg = (
            "probabilities (b, k, *s) and image (b, c, *s) must share one grid, "
            f"got {tuple(probabilities.shape)} and {tuple(image.shape)}"
        )
        raise ValueError(msg)


def check_mask(mask: Tensor, scores: Tensor, name: str) -> None:
    """Ask for a Boolean ``(b, *s)`` on the grid of ``scores``.

    Raises:
        ValueError: if the shape or the type differs.
    """
    expected = (scores.shape[0], *scores.shape[2:])
    if mask.dtype != torch.bool or mask.shape != expected:
        msg = f"{name} must be a Boolean tensor {expected}, got {mask.dtype} {tuple(mask.shape)}"
        raise ValueError(msg)


def check_label(label: Tensor, scores: Tensor) -> None:
    """Ask for integer classes ``(b, *s)`` on the grid of ``scores``.

    Values are looked at on the processor only; elsewhere that would make the accelerator wait.

    Raises:
        ValueError: if the shape differs, the type is not integer, or a value is neither a class nor IGNORE.
    """
    expected = (scores.shape[0], *scores.shape[2:])
    if label.is_floating_point() or label.dtype == torch.bool or label.shape != expected:
        msg = f"label must be an integer tensor {expected}, got {label.dtype} {tuple(label.shape)}"
        raise ValueError(msg)
    if label.device.type != "cpu":
        return
    classes = scores.shape[1]
    if not label.numel() or _all_known(label, classes):
        return
    strange = label[((label >= classes) | (label < 0)) & (label != IGNORE)]
    if strange.numel():
        msg = (
            f"label holds {int(strange[0])}, which is neither a class 0 … {classes - 1} nor IGNORE = {IGNORE}; "
            f"give unlabelled pixels the value {IGNORE}"
        )
        raise ValueError(msg)


def _all_known(label: Tensor, classes: int) -> bool:
    """Whether all values are classes or IGNORE; in bytes IGNORE + 1 is 0, so that one maximum answers it."""
    low, high = label.aminmax()
    return bool(low >= 0 and high <= IGNORE and (label.to(torch.uint8) + 1).max() <= classes)
