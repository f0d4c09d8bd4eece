"""Some slices of a volume, labelled completely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointillist.types import IGNORE

if TYPE_CHECKING:
    from pointillist.types import LabelMap


def full_slice(dense: LabelMap, rng: np.random.Generator) -> LabelMap:  # noqa: ARG001
    """Mark every pixel of a slice.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: not used, nothing is random within a slice.
    """
    return dense


def labelled_slices(dense: LabelMap, rng: np.random.Generator, *, count: int = 1) -> list[int]:
    """Choose the slices of a volume that someone labels completely.

    They are spread evenly over the slices that hold foreground, from a random start (systematic sampling), so
    that the few slices one can afford differ from each other. A volume without foreground counts with all of its
    slices.

    Args:
        dense: ``(h, w, slices)`` class of every voxel.
        rng: source of randomness.
        count: slices to choose; fewer where fewer hold foreground.

    Returns:
        Slice numbers in ascending order, each once.
    """
    foreground = ((dense != 0) & (dense != IGNORE)).any(axis=(0, 1))
    held = np.flatnonzero(foreground if foreground.any() else np.ones_like(foreground))
    count = min(count, len(held))
    spread = (np.arange(count) + rng.random()) * len(held) / count
    return [int(number) for number in held[spread.astype(np.int64)]]
