"""Skeleton scribbles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointillist.data.simulate._morphology import by_class, closed, skeleton_of, thickened

if TYPE_CHECKING:
    import numpy as np

    from pointillist.types import LabelMap


def skeleton(dense: LabelMap, rng: np.random.Generator, *, width_px: float = 2.0) -> LabelMap:  # noqa: ARG001
    """Draw the skeleton of each class, background included: skeletonise, close, widen within the class.

    Source: Valvano et al., multiscale adversarial attention gates, and their public generator, which does the
    same; its dilation by the 4-neighbour cross is a width of 2 here.

    Args:
        dense: ``(h, w)`` class of every pixel.
        rng: not used, nothing is random here.
        width_px: width of the lines.

    Returns:
        ``(h, w)`` marks, ``IGNORE`` elsewhere.
    """
    return by_class(dense, lambda mask, _: thickened(closed(skeleton_of(mask)), mask, width_px))
