"""The vocabulary every layer shares: array aliases, the IGNORE value and the stroke.

In memory a label map is ``uint8`` and holds ``IGNORE`` where nobody marked anything. On disk the same
voxels hold the largest class + 1 (nnU-Net's rule); ``pointillist.data.dataset`` translates at that border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Label of a pixel that nobody marked, in memory. Class indices are therefore 0 … 254."""

LabelMap = NDArray[np.uint8]
"""``(*s)`` class indices, 0 = background, ``IGNORE`` where unknown."""

InstanceMap = NDArray[np.int32]
"""``(*s)`` instance numbers, 0 = background."""

Mask = NDArray[np.bool_]
"""``(*s)``, true inside."""

Floats = NDArray[np.float64]
"""Real numbers of any shape; the docstring says which."""

AnyArray = NDArray[Any]
"""An image as stored: any real dtype."""


@dataclass(frozen=True, eq=False)
class Stroke:
    """One mark as it was drawn: a click (one vertex) or a polyline.

    Attributes:
        cls: class index, 0 = background; ``IGNORE`` is the eraser: what lies under it is again what nobody marked.
        points: ``(n, 2)`` row, column in pixels of a 2-D image, or ``(n, 3)`` row, column, slice of a volume;
            pixel centres are whole numbers. All vertices of a stroke lie in one slice.
        width_px: full width of the line in pixels; 1 draws a one-pixel line.
        author: who or what drew it, if known.
        time: when, as ISO 8601, if known.

    Raises:
        ValueError: if the points are not finite, not ``(n, 2)`` or ``(n, 3)``, leave their slice, or if the class
            or the width is out of range.
    """

    cls: int
    points: Floats
    width_px: float = 1.0
    author: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[0] < 1 or points.shape[1] not in (2, 3):
            msg = f"a stroke's points must have shape (n, 2) or (n, 3) with n ≥ 1, got {points.shape}"
            raise ValueError(msg)
        if not np.isfinite(points).all():
            msg = "a stroke's points must be finite numbers"
            raise ValueError(msg)
        if points.shape[1] == 3 and (np.ptp(points[:, 2]) != 0 or points[0, 2] % 1 != 0):
            msg = "a stroke must stay in one slice, and its slice must be a whole number"
            raise ValueError(msg)
        if not 0 <= self.cls <= IGNORE:
            msg = f"a stroke's class must be 0 … {IGNORE - 1}, or {IGNORE} to erase, got {self.cls}"
            raise ValueError(msg)
        if not (np.isfinite(self.width_px) and self.width_px > 0):
            msg = f"a stroke's width must be a positive number of pixels, got {self.width_px}"
            raise ValueError(msg)
        points.setflags(write=False)
        object.__setattr__(self, "points", points)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stroke):
            return NotImplemented
        mine = (self.cls, self.width_px, self.author, self.time)
        return mine == (other.cls, other.width_px, other.author, other.time) and np.array_equal(
            self.points, other.points
        )

    __hash__ = None  # type: ignore[assignment]  # an array-valued record has no cheap stable hash
