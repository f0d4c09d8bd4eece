"""Random numbers that depend on what they are for, not on when they are drawn.

Each number is a hash of (seed, epoch, slice, purpose), so batch composition, worker count and resuming change
nothing, and a batch's numbers are computed at once. The hash chains splitmix64's finaliser (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014; constants of Vigna's public splitmix64.c), which passes
the usual batteries of tests when it runs on a counter.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pointillist.types import Floats

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BITS = 53  # of a double's fraction


class Purpose(IntEnum):
    """What a random number decides."""

    ORDER = 0
    TURN = 1
    QUARTERS = 2
    FLIP = 3
    FLIP_AXIS = 4
    ROTATE = 5
    DEGREES = 6
    SCALE = 7
    ROW = 8
    COLUMN = 9


def uniform(seed: int, epoch: int, keys: NDArray[np.uint64]) -> Floats:
    """Draw from [0, 1), for every slice one number for each purpose.

    Args:
        seed: of the run; any whole number, of which the low 64 bits count.
        epoch: from 0.
        keys: ``(b,)`` of the slices.

    Returns:
        ``(purposes, b)`` multiples of 2⁻⁵³, to be indexed by ``Purpose``.
    """
    state = np.zeros(1, dtype=np.uint64)
    for part in (seed, epoch):
        state = _mixed(state ^ np.array([part & (2**64 - 1)], dtype=np.uint64))
    purposes = np.arange(len(Purpose), dtype=np.uint64)[:, None]
    bits = _mixed(_mixed(state ^ keys) ^ purposes)
    return (bits >> np.uint64(64 - _BITS)).astype(np.float64) * 2.0**-_BITS


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _FIRST
    x = (x ^ (x >> np.uint64(27))) * _SECOND
    return x ^ (x >> np.uint64(31))
