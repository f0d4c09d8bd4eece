"""An image or label map in memory, with the grid it lives on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pointillist.errors import GeometryError
from pointillist.types import AnyArray, Floats

HeaderRule = Literal["auto", "pixdim", "affine"]
"""Which statement of a contradictory NIfTI header to believe; ``auto`` applies the one safe rule, or refuses."""

# Headers store float32 and tools round on the way: relative for lengths, absolute for direction cosines.
_LENGTH_TOLERANCE = 1e-3
_ANGLE_TOLERANCE = 1e-3
_ORIGIN_TOLERANCE_MM = 1e-2


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the pixels of an image lie.

    Attributes:
        shape: spatial shape, in memory (canonical) order.
        spacing_mm: distance between pixel centres along each axis, or None where no physical size is known
            (PNG, BMP, plain TIFF).
        affine: ``(4, 4)``, canonical voxel indices to millimetres (RAS+), or None as above.
        orientation: ``(3, 2)`` axis order and flips of the file (nibabel's form), so that writing undoes what
            reading did; None for 2-D images.
    """

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...] | None = None
    affine: Floats | None = None
    orientation: Floats | None = None

    @property
    def slice_axis(self) -> int:
        """The axis that slices are stacked along: the only one of length 1, else the one of largest spacing.

        Where neither singles out an axis it is the last.

        Raises:
            GeometryError: for a 2-D grid, which has no slices.
        """
        if len(self.shape) != 3 or self.spacing_mm is None:
            raise GeometryError(
                "a 2-D image has no slice axis",
                where="grid of the image",
                expected="3 axes with a spacing in mm",
                received=f"shape {self.shape}",
                todo="treat the image as one slice, or read it from a NIfTI volume",
            )
        single = [axis for axis, size in enumerate(self.shape) if size == 1]
        if len(single) == 1:
            return single[0]
        spacing = np.asarray(self.spacing_mm)
        widest = np.flatnonzero(spacing >= spacing.max() * (1 - _LENGTH_TOLERANCE))
        return int(widest[0]) if widest.size == 1 else 2


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels and their grid.

    Attributes:
        array: ``(*s)``, or ``(h, w, 3)`` for a 2-D colour image; volumes are in canonical (closest to RAS+) order.
        grid: the grid of ``(*s)``.
        notes: every repair that reading applied, each a named rule in plain words.
        where: the file it came from, for messages.
    """

    array: AnyArray
    grid: Grid
    notes: tuple[str, ...] = field(default=())
    where: str = ""

    @property
    def channels(self) -> int:
        """Number of channels: 3 for a colour image, else 1."""
        return 1 if self.array.ndim == len(self.grid.shape) else int(self.array.shape[-1])


def same_grid(first: Image, second: Image) -> tuple[str, ...]:
    """Check that two images lie on one grid, with tolerance for rounding in headers.

    Args:
        first: the image whose grid counts.
        second: the image that must agree with it.

    Returns:
        Notes: grids that differ in their origin alone are compared voxel by voxel, and that is said.

    Raises:
        GeometryError: if shape, spacing or direction differ.
    """
    a, b = first.grid, second.grid
    pair = f"{second.where} against {first.where}"
    if a.shape != b.shape:
        raise GeometryError(
            "two files that belong together have different shapes",
            where=pair,
            expected=a.shape,
            received=b.shape,
            todo="check that the files belong to the same case, or resample one onto the other's grid",
        )
    if a.affine is None or b.affine is None or a.spacing_mm is None or b.spacing_mm is None:
        return ()
    if not np.allclose(a.spacing_mm, b.spacing_mm, rtol=_LENGTH_TOLERANCE):
        raise GeometryError(
            "two files that belong together have different spacing",
            where=pair,
            expected=_millimetres(a.spacing_mm),
            received=_millimetres(b.spacing_mm),
            todo="check that the files belong to the same case, or mend the header that is wrong",
        )
    directions = a.affine[:3, :3] / np.asarray(a.spacing_mm), b.affine[:3, :3] / np.asarray(b.spacing_mm)
    if not np.allclose(directions[0], directions[1], atol=_ANGLE_TOLERANCE):
        raise GeometryError(
            "two files that belong together have different orientation",
            where=pair,
            expected=np.round(directions[0], 4).tolist(),
            received=np.round(directions[1], 4).tolist(),
            todo="check that the files belong to the same case, or mend the header that is wrong",
        )
    if not np.allclose(a.affine[:3, 3], b.affine[:3, 3], atol=_ORIGIN_TOLERANCE_MM):
        return (f"different-origin: compared voxel by voxel ({pair})",)
    return ()


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " × ".join(f"{s:.6g}" for s in spacing) + " mm"
