"""In which order an epoch visits its slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pointillist.data.augment.draws import Purpose, uniform


def epoch_order(keys: NDArray[np.uint64], seed: int, epoch: int) -> NDArray[np.int64]:
    """A seeded permutation of an epoch's slices.

    Two slices keep their order relative to each other whatever other slices take part.

    Args:
        keys: ``(n,)`` of the slices (``pointillist.data.cache.SliceCache.keys``).
        seed: of the run.
        epoch: from 0.

    Returns:
        ``(n,)`` positions in ``keys``.
    """
    return np.argsort(uniform(seed, epoch, keys)[Purpose.ORDER], kind="stable")
