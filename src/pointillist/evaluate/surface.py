"""Surface metrics. All are made of one pair of distance sets (``pointillist.geometry.distance.surface_distances``).

Degenerate pairs follow one rule: both masks empty is a perfect answer (distance 0, NSD 1); where only one is empty
there is no distance (NaN) and no agreement (NSD 0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pointillist.errors import InputError
from pointillist.geometry.distance import SurfaceDistances
from pointillist.types import Floats


def hd95_pooled(distances: SurfaceDistances) -> float:
    """95th percentile of both directed sets taken together, linearly interpolated.

    medpy's ``hd95``, the form behind the scribble papers' tables. In the unit of the spacing; 0 where both masks
    are empty, NaN where one is.
    """
    return _where_defined(distances, lambda: float(np.percentile(np.concatenate(distances), 95)))


def hd95_max(distances: SurfaceDistances) -> float:
    """The larger of the two directed 95th percentiles, linearly interpolated.

    MONAI's and Metrics Reloaded's form. In the unit of the spacing; 0 where both masks are empty, NaN where one is.
    """
    return _where_defined(distances, lambda: float(max(np.percentile(side, 95) for side in distances)))


def hd95_pooled_bounded(distances: SurfaceDistances, diagonal: float) -> float:
    """``hd95_pooled``, with the volume's diagonal for a pair in which one mask is empty.

    Args:
        distances: of the pair.
        diagonal: ``volume_diagonal``, in the unit of the distances.
    """
    value = hd95_pooled(distances)
    return diagonal if np.isnan(value) else value


def volume_diagonal(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of the diagonal of the box that the voxels fill, edge to edge: √Σ (nᵢ·sᵢ)².

    No surface distance on the grid can be as long.

    Args:
        shape: voxels along each axis.
        spacing: distance between voxel centres along each axis.
    """
    return float(np.linalg.norm(np.asarray(shape) * np.asarray(spacing, dtype=np.float64)))


def assd_pooled(distances: SurfaceDistances) -> float:
    """Mean of both directed sets taken together: medpy's ``assd`` from 0.5 on.

    In the unit of the spacing; 0 where both masks are empty, NaN where one is. Source: Heimann et al. 2009.
    """
    return _where_defined(distances, lambda: float(np.concatenate(distances).mean()))


def assd_directed_mean(distances: SurfaceDistances) -> float:
    """Mean of the two directed means, so that a small surface weighs as much as a large one.

    In the unit of the spacing; 0 where both masks are empty, NaN where one is.
    """
    return _where_defined(distances, lambda: float(np.mean([side.mean() for side in distances])))


def nsd(distances: SurfaceDistances, tolerance: float) -> float:
    """Normalised surface distance: the share of both surfaces' voxels within a tolerance of the other surface.

    Surface voxels are counted, as MONAI's ``SurfaceDiceMetric(use_subvoxels=False)`` does. 1 where both masks are
    empty, 0 where one is.

    Args:
        distances: of the pair.
        tolerance: in the unit of the distances; ``d ≤ tolerance`` agrees, to a millionth (headers hold spacings in
            single precision, and three voxels of 0.1 mm are 0.3 mm).

    Raises:
        InputError: if the tolerance is negative or not finite.
    """
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise InputError(
            "the tolerance of the surface distance must be a length",
            where="--nsd-tolerance",
            expected="≥ 0",
            received=tolerance,
            todo="give a length in the unit of the distances, for example 2",
        )
    both: Floats = np.concatenate(distances)
    return float((both <= tolerance * (1 + 1e-6)).mean()) if both.size else 1.0


def _where_defined(distances: SurfaceDistances, value: Callable[[], float]) -> float:
    sizes = [side.size for side in distances]
    if not any(sizes):
        return 0.0
    return value() if all(sizes) else float("nan")
