"""How an array splits into the two axes people draw in and, for a volume, the axis that counts slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointillist.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointillist.types import LabelMap, Stroke


@dataclass(frozen=True)
class Planes:
    """Rows and columns of a slice, the number of slices, and which axis counts them.

    A 2-D image is one slice; its ``ndim`` of 2 says that strokes on it carry no slice number.
    """

    size: tuple[int, int]
    slices: int
    ndim: int
    axis: int

    def view(self, volume: LabelMap) -> LabelMap:
        """View a volume as (row, column, slice); a 2-D image is returned as it is."""
        return volume if self.ndim == 2 else np.moveaxis(volume, self.axis, -1)

    def fitting(self, strokes: Sequence[Stroke]) -> Sequence[Stroke]:
        """Return the strokes if their points have as many coordinates as the array has axes, else raise."""
        for stroke in strokes:
            if stroke.points.shape[1] != self.ndim:
                raise GeometryError(
                    "a stroke does not fit its image",
                    where=f"stroke of class {stroke.cls}",
                    expected=f"points with {self.ndim} coordinates",
                    received=f"{stroke.points.shape[1]} coordinates",
                    todo="check that the marks belong to this case",
                )
        return strokes


def planes_of(shape: tuple[int, ...], slice_axis: int) -> Planes:
    """Split the shape of an image or a volume.

    Raises:
        GeometryError: if there are not two or three axes, or a volume has no such slice axis.
    """
    if len(shape) not in (2, 3):
        raise GeometryError(
            "marks are drawn on images and volumes",
            where="shape of the label map",
            expected="2 or 3 axes",
            received=shape,
            todo="give one image or one volume, without a channel axis",
        )
    if len(shape) == 2:
        return Planes((shape[0], shape[1]), 1, 2, -1)
    if not -3 <= slice_axis < 3:
        raise GeometryError(
            "a volume has no such slice axis",
            where="slice_axis",
            expected="0, 1 or 2",
            received=slice_axis,
            todo="choose one of these",
        )
    rows, columns = (n for axis, n in enumerate(shape) if axis != slice_axis % 3)
    return Planes((rows, columns), shape[slice_axis], 3, slice_axis)
