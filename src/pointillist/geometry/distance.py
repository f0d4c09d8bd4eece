"""Surfaces of masks, and the distances between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from pointillist.errors import GeometryError
from pointillist.types import Floats, Mask

# A search tree costs about 12 times as much a point as a distance transform costs a voxel (one core, measured
# on cardiac pairs and on volumes of 160³ and 256³; benchmarks/surface_distance.py).
_VOXELS_PER_POINT = 12


class SurfaceDistances(NamedTuple):
    """Every surface voxel's distance to the nearest surface voxel of the other mask, in the unit of the spacing.

    Attributes:
        forward: ``(m,)`` from the first mask's surface to the second's; infinite where the second is empty.
        backward: ``(n,)`` from the second mask's surface to the first's; infinite where the first is empty.
    """

    forward: Floats
    backward: Floats


def surface(mask: Mask) -> Mask:
    """Voxels of a mask that touch the outside through a face (an edge in 2-D); beyond the array all is outside.

    Equal to ``mask ^ binary_erosion(mask)`` with face connectivity and border value 0, the definition that medpy
    and MONAI share.

    Args:
        mask: ``(*s)``.

    Returns:
        ``(*s)``.
    """
    inside = mask.copy()
    for axis in range(mask.ndim):
        source, target = np.moveaxis(mask, axis, 0), np.moveaxis(inside, axis, 0)
        target[1:] &= source[:-1]
        target[:-1] &= source[1:]
        target[0] = target[-1] = False
    return mask & ~inside


def surface_distances(first: Mask, second: Mask, spacing: Sequence[float] | None = None) -> SurfaceDistances:
    """Both directed sets of surface distances, exact, between voxel centres.

    Args:
        first: ``(*s)``.
        second: ``(*s)``.
        spacing: distance between voxel centres along each axis; 1 without.

    Returns:
        The two sets, in C order of the surface voxels; empty for an empty mask.

    Raises:
        GeometryError: if the shapes differ, or the spacing has another length or is not positive.
    """
    scale = _checked_scale(first, second, spacing)
    union = first | second
    if not union.any():
        return SurfaceDistances(np.empty(0), np.empty(0))
    # Outside their common box both masks are empty, as they are beyond the array: cropping changes no surface.
    box = _bounding_box(union)
    mine, other = surface(first[box]), surface(second[box])
    return SurfaceDistances(_directed(mine, other, scale), _directed(other, mine, scale))


def _checked_scale(first: Mask, second: Mask, spacing: Sequence[float] | None) -> Floats:
    if first.shape != second.shape:
        raise GeometryError(
            "surfaces can only be compared on one grid",
            where="first, second",
            expected=first.shape,
            received=second.shape,
            todo="resample one mask onto the other's grid",
        )
    scale = np.ones(first.ndim) if spacing is None else np.asarray(spacing, dtype=np.float64)
    if scale.shape != (first.ndim,) or not (np.isfinite(scale) & (scale > 0)).all():
        raise GeometryError(
            "the spacing does not fit the masks",
            where="spacing",
            expected=f"{first.ndim} positive numbers",
            received=spacing,
            todo="give one length above 0 an axis, in the order of the axes",
        )
    return scale


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty; the first axis shrinks the work for the others."""
    box = []
    rest: Mask = mask
    for _ in range(mask.ndim - 1):
        filled = np.flatnonzero(rest.any(axis=tuple(range(1, rest.ndim))))
        box.append(slice(filled[0], filled[-1] + 1))
        rest = np.any(rest[box[-1]], axis=0)
    filled = np.flatnonzero(rest)
    return (*box, slice(filled[0], filled[-1] + 1))


def _directed(source: Mask, target: Mask, scale: Floats) -> Floats:
    """Distance of every voxel of one surface to the nearest of the other, ``(m,)``."""
    if not target.any():
        return np.full(np.count_nonzero(source), np.inf)
    apart = source & ~target
    if source.size <= _VOXELS_PER_POINT * (np.count_nonzero(apart) + np.count_nonzero(target)):
        transform: Floats = distance_transform_edt(~target, sampling=scale)
        return transform[source]
    distances = np.zeros(source.shape)
    distances[apart] = KDTree(np.argwhere(target) * scale).query(np.argwhere(apart) * scale)[0]
    return distances[source]
